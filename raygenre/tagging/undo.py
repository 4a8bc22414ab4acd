"""Undo the changes recorded in a log, starting with the latest.

A file that has not changed since it was written is restored byte for byte. If other tags have changed since then, only
the frames that raygenre wrote are restored. If the genre has changed since then, the file is left unchanged.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from raygenre.errors import reason_of
from raygenre.system.hashing import sha256_of
from raygenre.tagging.difference import reconstruct
from raygenre.tagging.formats.base import TagError
from raygenre.tagging.log import Record
from raygenre.tagging.open_tags import open_tags
from raygenre.tagging.replacement import remove_abandoned, replacement
from raygenre.tagging.write import restore_frames

Outcome = Literal["restored", "frames", "unchanged", "left"]


@dataclass(frozen=True)
class Undone:
    """The outcome for one file.

    Attributes:
        outcome: `restored`: all bytes were restored; `frames`: only the frames were restored, because later changes to
            other tags were kept; `unchanged`: there was nothing to restore; `left`: see `reason`.
        reason: why the file was left as it is; empty otherwise.
    """

    path: Path
    outcome: Outcome
    reason: str = ""


def undo(records: Sequence[Record]) -> Iterator[Undone]:
    """Undo the changes to each file in a log, and yield the outcomes."""
    by_file: dict[str, list[Record]] = {}
    for record in records:
        by_file.setdefault(record.file, []).append(record)
    for folder in {Path(file).parent for file in by_file}:
        remove_abandoned(folder)
    for file, changes in by_file.items():
        yield _undo_file(Path(file), changes[::-1])


def _undo_file(path: Path, changes: Sequence[Record]) -> Undone:
    """Undo the changes to a file, which are passed in order from the latest to the earliest."""
    outcome: Outcome = "unchanged"
    try:
        for change in changes:
            done = _undo_change(path, change, first=changes[-1])
            if done != "unchanged" and outcome != "frames":
                outcome = done
    except (OSError, TagError, ValueError) as error:
        return Undone(path, "left", reason_of(error))
    return Undone(path, outcome)


def _undo_change(path: Path, change: Record, *, first: Record) -> Outcome:
    sha256 = sha256_of(path)
    if sha256 in (change.old_sha256, first.old_sha256):
        return "unchanged"  # already undone, or never written
    if sha256 == change.new_sha256:
        _restore_file(path, change)
        return "restored"
    stored = open_tags(path).stored()
    if stored == change.became:
        restore_frames(path, change.was)
        return "frames"
    if stored in (change.was, first.was):
        return "unchanged"
    raise TagError("its genre has been changed since; the file was left unchanged")


def _restore_file(path: Path, change: Record) -> None:
    """Restore all the old bytes of a file that has not changed since it was written."""
    with replacement(path) as copy:
        with path.open("rb") as new, copy.open("wb") as old:
            reconstruct(new, change.steps, old)
            old.flush()
            os.fsync(old.fileno())
        if sha256_of(copy) != change.old_sha256:
            raise TagError("the log does not belong to this file")
