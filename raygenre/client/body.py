"""A file as the body of a request: it is read in chunks, and read again for each attempt."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import IO

import httpx

from raygenre.errors import FileAccessError, RaygenreError, file_errors
from raygenre.system.printable import printable
from raygenre.system.regular_file import check_regular

File = str | os.PathLike[str] | bytes
"""A song or spectrogram PNG: its path, or its content."""

_CHUNK = 1 << 18  # bytes


class _NotRegularError(RaygenreError):
    """The path refers to a pipe, a device or a folder."""


class FileBody(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The content of a file, for sync and async requests.

    Attributes:
        size: number of bytes.

    Raises:
        FileAccessError: the file cannot be read, which may also happen while it is being sent.
    """

    def __init__(self, file: File) -> None:
        self._file = file if isinstance(file, bytes) else Path(file)
        self._failure = "" if isinstance(file, bytes) else f"{printable(Path(file))} cannot be read"
        if isinstance(self._file, bytes):
            self.size = len(self._file)
        else:
            try:
                with file_errors(self._failure):
                    self.size = check_regular(self._file, _NotRegularError).st_size
            except _NotRegularError as error:
                raise FileAccessError(f"{self._failure}: {error}") from None

    def __iter__(self) -> Iterator[bytes]:
        with closing(self._open()) as file:
            remaining = self.size
            while remaining:
                yield (chunk := self._read(file, remaining))
                remaining -= len(chunk)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with closing(self._open()) as file:
            remaining = self.size
            while remaining:
                yield (chunk := await asyncio.to_thread(self._read, file, remaining))
                remaining -= len(chunk)

    def _open(self) -> IO[bytes]:
        if isinstance(self._file, bytes):
            return BytesIO(self._file)
        with file_errors(self._failure):
            return self._file.open("rb")

    def _read(self, file: IO[bytes], remaining: int) -> bytes:
        with file_errors(self._failure):
            chunk = file.read(min(_CHUNK, remaining))
        if not chunk:
            raise FileAccessError(f"{self._failure}: it became shorter while it was being sent")
        return chunk
