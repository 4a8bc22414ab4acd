"""The log of written tags: JSON lines from which every change can be undone.

A line is flushed to disk before its file is replaced, so every changed file is in the log. If the process is killed
after it flushes the line and before it replaces the file, the log contains an unchanged file.
"""

import fcntl
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from raygenre.errors import RaygenreError
from raygenre.tagging.difference import Step
from raygenre.tagging.formats.base import Stored
from raygenre.tagging.replacement import flush_folder

VERSION = 1
_START = b'{"version": '  # of every line


class LogError(RaygenreError):
    """The log cannot be read or written, so no file may be changed."""


@dataclass(frozen=True)
class Record:
    """One change to a file.

    Attributes:
        file: the file's absolute path, without symbolic links.
        genres: the genres that were written.
        was: the frames that raygenre may change, as they were before the change.
        became: the same frames, as they were after the change.
        old_sha256: SHA-256 of the whole file before the change.
        new_sha256: SHA-256 of the whole file after the change.
        steps: the steps that recreate the old file from the new one.
    """

    file: str
    genres: Sequence[str]
    was: Stored
    became: Stored
    old_sha256: str
    new_sha256: str
    steps: Sequence[Step]


class TagLog:
    """A log that is open for appending. Only one process at a time can open a log.

    Raises:
        LogError: the log cannot be written, is open in another process, or is not a raygenre log.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists() and not path.is_file():
            raise LogError(f"the log {path} cannot be written: it is not a regular file; choose another --log")
        try:
            # Unbuffered, so that no part of a line is written after an error has been reported for this line.
            self._file = path.open("ab+", buffering=0)
        except OSError as error:
            raise LogError(f"the log {path} cannot be written: {error.strerror}; choose another --log") from error
        try:
            self._lock()
            read_log(path)  # fails if the file is not a log
            self._remove_torn_line()
            flush_folder(path.parent)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, record: Record) -> None:
        """Append a record and flush it to disk.

        Raises:
            LogError: the record cannot be written; the log is unchanged.
        """
        fields = {"version": VERSION, "time": datetime.now(UTC).isoformat(timespec="seconds")} | asdict(record)
        rest = json.dumps(fields).encode() + b"\n"
        size = self._file.seek(0, os.SEEK_END)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            self._file.truncate(size)
            raise LogError(
                f"the log {self.path} cannot be written: {error.strerror}; no more files will be tagged"
            ) from error

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"{self.path} is in use by another `raygenre tag`; wait for it, or choose another --log"
            raise LogError(message) from None
        except OSError:
            pass  # some network file systems do not support locks

    def _remove_torn_line(self) -> None:
        """Remove an incomplete last line, left by a process that was killed before it changed the song.

        Raises:
            LogError: the last line is not the start of a record; the file is left unchanged.
        """
        data = self.path.read_bytes()
        start = data.rfind(b"\n") + 1
        torn = data[start:]
        if not (torn.startswith(_START) or _START.startswith(torn)):
            raise LogError(f"{self.path}: this is not a log of `raygenre tag`; choose another --log")
        if torn:
            self._file.truncate(start)


def read_log(path: Path) -> list[Record]:
    """Return the records of a log in the order in which they were written. An incomplete last line is ignored.

    Raises:
        LogError: the file cannot be read or is not a raygenre log.
    """
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise LogError(f"the log {path} cannot be read: {error.strerror}") from error
    records = []
    for number, line in enumerate(lines, 1):
        try:
            fields = json.loads(line)
            version, _ = fields.pop("version"), fields.pop("time")
            if version != VERSION:
                raise LogError(f"{path}, line {number}: version {version} is newer than this raygenre; update raygenre")
            steps = [step if isinstance(step, str) else (int(step[0]), int(step[1])) for step in fields.pop("steps")]
            records.append(Record(**fields, steps=steps))
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise LogError(f"{path}, line {number}: this is not a log of `raygenre tag`") from error
    return records
