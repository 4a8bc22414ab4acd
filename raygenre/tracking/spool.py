"""An on-disk queue of updates for MLflow, written and read by one driver.

Each line is a JSON object; lines are appended and never changed. The field `do` specifies the kind of line:

    start, log, tag, inputs, file, view, end, reopen    an update: something to write to a run
    created, delivered    a note: a run's MLflow id, or the byte offset up to which MLflow has every update
    past                  a summary that replaces a run's lines once all of them have been uploaded

When `append` returns, the line is in the operating system's cache, so it survives if the process is killed. With
`durable`, it is on disk and also survives a crash of the machine. Opening the file drops an incomplete last line. Times
are in ms since 1970.
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

Update = dict[str, Any]

SPOOL = "mlflow-spool.jsonl"
"""Name of the spool in the study's folder."""

_NOTES = ("created", "delivered", "past")
_READ_BYTES = 1 << 18  # number of bytes to read at once: a few thousand values


class SpoolClosedError(RuntimeError):
    """The spool is closed and accepts no more updates."""


@dataclass
class SpooledRun:
    """State of one run, as recorded in the spool.

    Attributes:
        id: MLflow run id; empty until MLflow has created the run.
        status: `RUNNING`, or the final status of the run.
        steps: steps of the logged values, by name. Values that are logged together share one entry, under the name of
            the first value.
    """

    id: str = ""
    status: str = "RUNNING"
    steps: dict[str, set[int]] = field(default_factory=dict)


class Spool:
    """The spool of one study, open in one driver. It is thread-safe.

    Attributes:
        path: path of the file.
        is_new: whether the file was empty when it was opened.
        runs: all runs, keyed by our own keys.
        waiting: number of updates that MLflow does not have yet.
        refused: number of updates that MLflow has rejected since the spool was opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs: dict[str, SpooledRun] = {}
        self.waiting = 0
        self.refused = 0
        self._new_ids: deque[tuple[str, str]] = deque()
        self._lock = threading.RLock()
        self._delivered = 0  # byte offset up to which MLflow has everything
        self._end = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._read()
        self.is_new = self._end == 0
        if self.is_new:
            self._sync_folder()

    @property
    def refused_path(self) -> Path:
        """The file next to the spool that contains the updates rejected by MLflow."""
        return self.path.with_name(self.path.stem + "-refused.jsonl")

    def append(self, update: Update, *, durable: bool = False) -> None:
        """Append a line.

        Raises:
            SpoolClosedError: the spool is closed.
            OSError: the disk is full or broken; the file is unchanged.
        """
        line = json.dumps(update, separators=(",", ":")).encode() + b"\n"
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
            self._apply(update)
            if durable:
                os.fsync(self._file)

    def next_batch(self) -> tuple[list[tuple[int, Update]], int]:
        """Return the next updates to upload, each with its byte offset, and the offset of the end of the batch."""
        with self._lock:
            if self._file < 0:
                raise SpoolClosedError(f"{self.path} is closed")
            size = _READ_BYTES
            while self._delivered < self._end:
                data = os.pread(self._file, min(size, self._end - self._delivered), self._delivered)
                if b"\n" in data:
                    break
                size *= 2
            else:
                return [], self._end
            updates, offset = [], self._delivered
            for line in data[: data.rindex(b"\n") + 1].splitlines(keepends=True):
                update = json.loads(line)
                if update["do"] not in _NOTES:
                    updates.append((offset, update))
                offset += len(line)
            return updates, offset

    def mark_delivered(self, upto: int, updates: int) -> None:
        """Record that MLflow has `updates` more updates, and therefore everything up to byte offset `upto`."""
        with self._lock:
            if updates:
                self.append({"do": "delivered", "upto": upto, "entries": updates})
            else:
                self._delivered = upto  # the lines are all notes, which need no upload

    def note_run_id(self, run: str, run_id: str) -> None:
        """Record a run's MLflow id."""
        self.append({"do": "created", "run": run, "id": run_id})

    def set_aside(self, update: Update, reason: str) -> None:
        """Save an update that MLflow rejected, with the reason, in `refused_path`."""
        with self._lock, self.refused_path.open("a") as file:
            file.write(json.dumps({"reason": reason, **update}) + "\n")
            self.refused += 1

    def new_run_ids(self) -> list[tuple[str, str]]:
        """Return the (run, MLflow id) pairs added since the last call, including those read from the file."""
        pairs = []
        while self._new_ids:
            pairs.append(self._new_ids.popleft())
        return pairs

    def close(self) -> None:
        """Close the file. If MLflow has every update, first shorten the file to one line per run."""
        with self._lock:
            if self._file < 0:
                return
            if not self.waiting and self.runs:
                with suppress(OSError):  # if the disk is full, the file stays as it is
                    self._compact()
            os.close(self._file)
            self._file = -1

    def _read(self) -> None:
        """Read the file up to the first incomplete line."""
        with self.path.open("rb") as file:
            for line in file:
                try:
                    update = json.loads(line) if line.endswith(b"\n") else None
                except ValueError:  # the machine crashed before the whole line was on disk
                    update = None
                if update is None:
                    break
                self._end += len(line)
                self._apply(update)
        os.ftruncate(self._file, self._end)

    def _apply(self, update: Update) -> None:
        do = update["do"]
        if do == "delivered":
            self._delivered = update["upto"]
            self.waiting -= update["entries"]
            return
        run = self.runs.setdefault(update["run"], SpooledRun())
        if do == "log":
            run.steps.setdefault(next(iter(update["values"])), set()).add(update["step"])
        elif do == "end":
            run.status = update["status"]
        elif do == "reopen":
            run.status = "RUNNING"
        elif do == "created":
            run.id = update["id"]
            self._new_ids.append((update["run"], run.id))
        elif do == "past":
            run.id, run.status = update["id"], update["status"]
            run.steps = {name: set(steps) for name, steps in update["steps"].items()}
            self._delivered = self._end
            self._new_ids.append((update["run"], run.id))
        self.waiting += do not in _NOTES

    def _compact(self) -> None:
        with atomic_file(self.path) as unfinished, unfinished.open("w") as file:
            for key, run in self.runs.items():
                steps = {name: sorted(steps) for name, steps in run.steps.items()}
                past = {"do": "past", "run": key, "id": run.id, "status": run.status, "steps": steps}
                file.write(json.dumps(past, separators=(",", ":")) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._sync_folder()

    def _sync_folder(self) -> None:
        """Write the directory entry to disk. If the spool were lost, a resumed search would create its runs again."""
        folder = os.open(self.path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


def count_waiting(lines: Iterable[bytes]) -> int:
    """Return the number of updates that MLflow does not have yet; `lines` is the spool file, opened in binary mode."""
    count = 0
    for line in lines:
        try:
            update = json.loads(line)
        except ValueError:
            break
        if update["do"] == "delivered":
            count -= update["entries"]
        else:
            count += update["do"] not in _NOTES
    return count
