"""Stores request bodies of up to 4 MB in memory, and larger bodies on disk, within limits.

Files on disk are unnamed, so they disappear when the process ends, even if it is killed.
"""

import asyncio
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from raygenre.errors import RaygenreError
from serve.admission.limits import Limits
from serve.errors import RefusalError
from serve.monitoring import logs

IN_MEMORY = 4_000_000  # maximum number of bytes of a body that are kept in memory
_WRITE = 1 << 18  # bytes written to disk at a time


class UploadFolderError(RaygenreError, OSError):
    """Uploads cannot be stored in the upload folder; the message states the reason."""


class DiskFile:
    """An unnamed file on disk. All methods are thread-safe.

    Attributes:
        size: size in bytes.
    """

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 (`close` closes it)
        self._lock = threading.Lock()  # otherwise, `close` could let another file reuse the descriptor during a read
        self.size = 0

    def write(self, parts: Sequence[bytes]) -> None:
        """Append the parts.

        Raises:
            OSError: the disk is full or has failed.
            ValueError: the file is closed.
        """
        with self._lock:
            for part in parts:
                remaining = memoryview(part)
                while remaining:
                    remaining = remaining[self._file.write(remaining) :]
                self.size += len(part)

    def read(self, size: int, offset: int = 0) -> bytes:
        """Return `size` bytes from an offset, or fewer at the end of the file.

        Raises:
            ValueError: the file is closed.
        """
        with self._lock:
            return os.pread(self._file.fileno(), size, offset)

    def duplicate(self) -> int:
        """Return a new descriptor that stays open after `close`; the caller must close it.

        Raises:
            ValueError: the file is closed.
        """
        with self._lock:
            return os.dup(self._file.fileno())

    def close(self) -> None:
        """Delete the file, unless a duplicate of its descriptor is still open."""
        with self._lock:
            self._file.close()


Content = bytes | DiskFile
"""The content of a file: in memory or on disk."""


def start_of(content: Content, size: int) -> bytes:
    """Return the first `size` bytes of a file, or the whole file if it is shorter."""
    return content[:size] if isinstance(content, bytes) else content.read(size)


def blocks_of(content: Content, size: int) -> Iterator[bytes]:
    """Yield a file in blocks of `size` bytes; the last block may be shorter."""
    for offset in range(0, size_of(content), size):
        yield content[offset : offset + size] if isinstance(content, bytes) else content.read(size, offset)


def size_of(content: Content) -> int:
    """Return the size of a file in bytes."""
    return len(content) if isinstance(content, bytes) else content.size


class BodyStore:
    """All request bodies of a replica.

    Args:
        folder: where to store bodies on disk. The default is $TMPDIR or, if that is unset, /var/tmp. The folder /tmp is
            avoided because it is often in memory.

    Attributes:
        limits, folder: the limits, and the folder in which files are stored.
        memory_bytes: total size of the bodies in memory.
        disk_bytes: total size of the bodies on disk.

    Raises:
        UploadFolderError: no file can be created in the folder.
    """

    def __init__(self, limits: Limits, folder: Path | None = None) -> None:
        self.limits = limits
        self.folder = folder or _default_folder()
        self.memory_bytes = self.disk_bytes = 0
        try:
            DiskFile(self.folder).close()
        except OSError as error:
            fix = "set RAYGENRE_UPLOAD_FOLDER to a folder on a disk"
            raise UploadFolderError(f"cannot store uploads in {self.folder}: {error.strerror}; {fix}") from error

    @contextmanager
    def reservation(self) -> Iterator["Reservation"]:
        """Yield a reservation for one body; the body is deleted when the context ends."""
        reservation = Reservation(self)
        try:
            yield reservation
        finally:
            reservation.release()


class Reservation:
    """The space that one body occupies.

    Attributes:
        memory_bytes: size of the part in memory.
        disk_bytes: size of the part on disk.
    """

    def __init__(self, store: BodyStore) -> None:
        self._store = store
        self._files: list[DiskFile] = []
        self.memory_bytes = self.disk_bytes = 0

    @property
    def bytes(self) -> int:
        return self.memory_bytes + self.disk_bytes

    def add(self, memory: int = 0, disk: int = 0) -> None:
        """Reserve more bytes; negative numbers release bytes.

        Raises:
            RefusalError: 503 if a limit is exceeded.
        """
        store, limits = self._store, self._store.limits
        if memory > 0 and store.memory_bytes + memory > limits.memory_bytes:
            raise limits.unavailable(
                "the endpoint has no memory for more files at the moment (RAYGENRE_MOST_HELD_BYTES); retry later"
            )
        if disk > 0 and store.disk_bytes + disk > limits.disk_bytes:
            raise limits.unavailable(
                "the endpoint has no disk space for more files at the moment (RAYGENRE_MOST_STORED_BYTES); retry later"
            )
        store.memory_bytes += memory
        store.disk_bytes += disk
        self.memory_bytes += memory
        self.disk_bytes += disk

    def new_file(self) -> DiskFile:
        """Return a new file on disk, which is closed when this reservation is released.

        Raises:
            RefusalError: 503 if the file cannot be created.
        """
        try:
            self._files.append(DiskFile(self._store.folder))
        except OSError as error:
            raise self.disk_error(error) from error
        return self._files[-1]

    def disk_error(self, error: OSError) -> RefusalError:
        """Log that the disk is full or has failed, and return a 503."""
        logs.error("upload not stored", error, folder=str(self._store.folder))
        return self._store.limits.unavailable(
            "the endpoint's disk has no space for the file (RAYGENRE_UPLOAD_FOLDER); retry later"
        )

    def release(self) -> None:
        """Delete the body."""
        for file in self._files:
            file.close()
        self._store.memory_bytes -= self.memory_bytes
        self._store.disk_bytes -= self.disk_bytes


class Incoming:
    """A file that is being received; it moves to disk when the request's body exceeds the memory limit."""

    def __init__(self, reservation: Reservation) -> None:
        self._reservation = reservation
        self._parts: list[bytes] = []  # for a file on disk, the parts that have not been written yet
        self._size = 0  # total size of these parts in bytes
        self._file: DiskFile | None = None

    async def append(self, part: bytes) -> None:
        """Append a part.

        Raises:
            RefusalError: 503 if there is not enough space.
        """
        if self._file is None and self._reservation.memory_bytes + len(part) > IN_MEMORY:
            self._reservation.add(memory=-self._size, disk=self._size)
            self._file = self._reservation.new_file()
        if self._file:
            self._reservation.add(disk=len(part))
        else:
            self._reservation.add(memory=len(part))
        self._parts.append(part)
        self._size += len(part)
        if self._file and self._size >= _WRITE:
            await self._write(self._file)

    async def finish(self) -> Content:
        """Return the whole file.

        Raises:
            RefusalError: 503 if there is not enough space.
        """
        if self._file is None:
            return b"".join(self._parts)
        await self._write(self._file)
        return self._file

    async def _write(self, file: DiskFile) -> None:
        parts, self._parts, self._size = self._parts, [], 0
        try:
            await asyncio.to_thread(file.write, parts)
        except OSError as error:
            raise self._reservation.disk_error(error) from error


def _default_folder() -> Path:
    if "TMPDIR" not in os.environ and os.access("/var/tmp", os.W_OK | os.X_OK):
        return Path("/var/tmp")
    return Path(tempfile.gettempdir())
