"""The spool: what a search has to tell MLflow, in a file of the study's folder until it has been told.

One JSON object a line, added at the end and never changed. `do` says what a line is:

    start, log, tag, inputs, file, end, reopen    entries: what is to be written into a run
    created, delivered    notes: MLflow's id of a run, and up to which byte everything is in MLflow
    past                  what is left of a run's lines once all is delivered

A line is on its way to the disk when `append` returns and survives the process; with `lasting` it survives the
machine too. A last line that is not whole is taken away when the file is opened. Times are ms since 1970.
"""

import json
import os
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raygenre.system.atomic_write import atomic_file

Entry = dict[str, Any]

_NOTES = ("created", "delivered", "past")
_WINDOW = 1 << 18  # bytes that are read at once, some thousand values


class SpoolClosedError(RuntimeError):
    """The spool was closed; nothing more may be written to it."""


@dataclass
class SpooledRun:
    """What was said of a run so far.

    Attributes:
        id: MLflow's; empty before the run was made there.
        status: `RUNNING`, or how it ended.
        steps: that values were logged at. Values logged together are told apart from others by the first of them.
    """

    id: str = ""
    status: str = "RUNNING"
    steps: dict[str, set[int]] = field(default_factory=dict)


class Spool:
    """One study's spool, open for one driver; its methods may be called from several threads.

    Attributes:
        path: of the file.
        fresh: whether nothing was in it when it was opened.
        runs: every run, by our own key.
        waiting: number of entries that MLflow does not have yet.
        refused: number of entries that MLflow would not have, since the spool was opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs: dict[str, SpooledRun] = {}
        self.waiting = 0
        self.refused = 0
        self._arrived: deque[tuple[str, str]] = deque()
        self._lock = threading.RLock()
        self._delivered = 0  # byte up to which everything is delivered
        self._end = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._read()
        self.fresh = self._end == 0
        if self.fresh:
            self._keep_name()

    def append(self, entry: Entry, *, lasting: bool = False) -> None:
        """Add a line.

        Raises:
            SpoolClosedError: after `close`.
            OSError: the disk is full, or broken; the file is as it was.
        """
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            if self._file < 0:
                raise SpoolClosedError(f"{self.path} is closed")
            try:
                written = 0
                while written < len(line):
                    written += os.write(self._file, line[written:])
            except OSError:
                os.ftruncate(self._file, self._end)
                raise
            self._end += len(line)
            self._apply(entry)
            if lasting:
                os.fsync(self._file)

    def take(self) -> tuple[list[tuple[int, Entry]], int]:
        """Return the next entries to deliver, each with its place, and the byte that they reach to."""
        with self._lock:
            if self._file < 0:
                raise SpoolClosedError(f"{self.path} is closed")
            size = _WINDOW
            while self._delivered < self._end:
                data = os.pread(self._file, min(size, self._end - self._delivered), self._delivered)
                if b"\n" in data:
                    break
                size *= 2
            else:
                return [], self._end
            entries, place = [], self._delivered
            for line in data[: data.rindex(b"\n") + 1].splitlines(keepends=True):
                entry = json.loads(line)
                if entry["do"] not in _NOTES:
                    entries.append((place, entry))
                place += len(line)
            return entries, place

    def delivered(self, upto: int, entries: int) -> None:
        """Note that MLflow has everything up to a byte: so many entries more than before."""
        with self._lock:
            if entries:
                self.append({"do": "delivered", "upto": upto, "entries": entries})
            else:
                self._delivered = upto  # notes alone: passed over

    def created(self, run: str, run_id: str) -> None:
        """Note the id that MLflow gave a run."""
        self.append({"do": "created", "run": run, "id": run_id})

    def refuse(self, entry: Entry, reason: str) -> None:
        """Put an entry that MLflow will never have aside, into a file next to the spool."""
        with self._lock, self.path.with_name(self.path.stem + "-refused.jsonl").open("a") as file:
            file.write(json.dumps({"reason": reason, **entry}) + "\n")
            self.refused += 1

    def arrivals(self) -> list[tuple[str, str]]:
        """Return runs with their MLflow ids, each once: those known when the spool was opened, then new ones."""
        found = []
        while self._arrived:
            found.append(self._arrived.popleft())
        return found

    def close(self) -> None:
        """Close the file; when all is delivered, keep no more of it than which runs there are."""
        with self._lock:
            if self._file < 0:
                return
            if not self.waiting and self.runs:
                with suppress(OSError):  # a full disk keeps the file as it is
                    self._shorten()
            os.close(self._file)
            self._file = -1

    def _read(self) -> None:
        """Read the whole file, line by line, up to the first line that is not whole."""
        with self.path.open("rb") as file:
            for line in file:
                try:
                    entry = json.loads(line) if line.endswith(b"\n") else None
                except ValueError:  # the machine went down before the disk had it
                    entry = None
                if entry is None:
                    break
                self._end += len(line)
                self._apply(entry)
        os.ftruncate(self._file, self._end)

    def _apply(self, entry: Entry) -> None:
        do = entry["do"]
        if do == "delivered":
            self._delivered = entry["upto"]
            self.waiting -= entry["entries"]
            return
        run = self.runs.setdefault(entry["run"], SpooledRun())
        if do == "log":
            run.steps.setdefault(next(iter(entry["values"])), set()).add(entry["step"])
        elif do == "end":
            run.status = entry["status"]
        elif do == "reopen":
            run.status = "RUNNING"
        elif do == "created":
            run.id = entry["id"]
            self._arrived.append((entry["run"], run.id))
        elif do == "past":
            run.id, run.status = entry["id"], entry["status"]
            run.steps = {name: set(steps) for name, steps in entry["steps"].items()}
            self._delivered = self._end
            self._arrived.append((entry["run"], run.id))
        self.waiting += do not in _NOTES

    def _shorten(self) -> None:
        with atomic_file(self.path) as unfinished, unfinished.open("w") as file:
            for key, run in self.runs.items():
                steps = {name: sorted(steps) for name, steps in run.steps.items()}
                past = {"do": "past", "run": key, "id": run.id, "status": run.status, "steps": steps}
                file.write(json.dumps(past, separators=(",", ":")) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._keep_name()

    def _keep_name(self) -> None:
        """Have the file's name survive the machine: a search that found no spool would begin its runs anew."""
        folder = os.open(self.path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


def waiting(lines: Iterable[bytes]) -> int:
    """Return how many entries of a spool are not delivered; `lines` is its file, read in binary."""
    count = 0
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            break
        if entry["do"] == "delivered":
            count -= entry["entries"]
        else:
            count += entry["do"] not in _NOTES
    return count
