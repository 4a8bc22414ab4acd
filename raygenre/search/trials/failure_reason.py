"""Determines from Ray's reports why a trial failed and which failures have the same cause."""

import re
from pathlib import Path

from ray.tune.experiment import Trial

from raygenre.search.trials.out_of_memory import KILLED, REASON

WORKER_DIED = "its worker died repeatedly"
_RAISED = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?::.*)?$")  # a line that names an exception
_FRAMES_FOLLOW = re.compile(r"Traceback \(most recent call last\):$|ray::.*\(pid=")
_COLOURS = re.compile(r"\x1b\[\d+m")
_EXIT_DETAIL = re.compile(r"Worker exit detail: (.+?)(?:\.\s|\.?$)", re.MULTILINE)
_DIVERGED = re.compile(r"the (best )?(training|validation) loss is")
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+(?:\.\d+)?(?:e[+-]?\d+)?", re.IGNORECASE)
_MAX_KINDS = 3  # maximum number of kinds in a message


def latest_error(trial: Trial) -> str:
    """Return the text of a trial's latest error: a traceback, or how its worker died; empty if there is no error.

    It is read from the driver's own folder. `Trial.get_error` reads it from the storage, which Tune updates later.
    """
    if trial.error_file is None:
        return ""
    text = _COLOURS.sub("", Path(trial.error_file).read_text(encoding="utf-8", errors="replace"))
    return text.rpartition("Failure # ")[2].partition("\n")[2]  # without the number of the failure and its time


def failure_reason(text: str) -> str:
    """Return one line from Ray's error text that explains why a worker failed: the exception, or how it died."""
    if KILLED in text:
        return KILLED
    if raised := raised_line(text):
        return raised
    detail = _EXIT_DETAIL.search(text)
    return f"{WORKER_DIED}: {detail.group(1)}" if detail else WORKER_DIED


def failure_kind(failure: str) -> str:
    """Return the text that failures with the same cause share, without numbers such as the epoch or the memory size."""
    if failure.startswith(REASON):
        return REASON
    return "diverged" if _DIVERGED.match(failure) else _NUMBER.sub("#", failure)


def summary(failures: list[str]) -> str:
    """Return the kinds of failures, most frequent first, each with the text of its first failure."""
    kinds: dict[str, list[str]] = {}
    for failure in failures:
        kinds.setdefault(failure_kind(failure), []).append(failure)
    ordered = sorted(kinds.values(), key=len, reverse=True)
    texts = [texts[0] if len(kinds) == 1 else f"{texts[0]} ({len(texts)})" for texts in ordered]
    more = [f"{len(texts) - _MAX_KINDS} more kinds"] if len(texts) > _MAX_KINDS else []
    return "; ".join(texts[:_MAX_KINDS] + more)


def raised_line(text: str) -> str:
    """Return the exception at the end of the last traceback in a text; empty if there is no traceback.

    A traceback's frames are indented, and the exception is the first unindented line after them.
    """
    raised = ""
    in_frames = False
    for line in text.splitlines():
        if _FRAMES_FOLLOW.search(line):
            in_frames = True
        elif in_frames and line and not line[0].isspace():
            in_frames = False
            raised = line.strip() if _RAISED.match(line) else raised
    return raised
