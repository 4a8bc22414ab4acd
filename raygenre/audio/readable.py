"""Present a file to FFmpeg without leading junk and with a header that it can interpret."""

import io
from typing import IO, TYPE_CHECKING

from raygenre.audio.file_type import FileType
from raygenre.audio.wav_header import replacement

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


def readable(stream: IO[bytes], head: bytes, found: FileType) -> IO[bytes]:
    """Return a seekable stream that FFmpeg reads correctly: the stream itself, or a view of it.

    Args:
        stream: the file, seekable; only the returned stream may be used afterwards.
        head: the file's first bytes.
        found: what `identify` returned for the head.

    Raises:
        AudioError: the file is a big-endian WAV of a kind that cannot be decoded.
    """
    view: io.RawIOBase | None = None
    if found.name == "WAV" and (new := replacement(stream, head, found.start)):
        view = _View(stream, new.header, new.start, new.end)
    elif found.start:
        view = _View(stream, b"", found.start, None)
    if view is None:
        stream.seek(0)
        return stream
    return io.BufferedReader(view)


class _View(io.RawIOBase):
    """A read-only stream: a header, followed by a part of another stream.

    Args:
        start: index of the part's first byte in the stream.
        end: index just past the part's last byte; None for the end of the stream.
    """

    def __init__(self, stream: IO[bytes], header: bytes, start: int, end: int | None) -> None:
        self._stream, self._header, self._start = stream, header, start
        length = stream.seek(0, io.SEEK_END)
        self._size = len(header) + max(0, min(length, length if end is None else end) - start)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError("cannot seek before the start")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: "WriteableBuffer") -> int:
        target = memoryview(buffer).cast("B")
        size = min(len(target), max(0, self._size - self._position))
        if self._position < len(self._header):
            data = self._header[self._position : self._position + size]
        else:
            self._stream.seek(self._start + self._position - len(self._header))
            data = self._stream.read(size)
        target[: len(data)] = data
        self._position += len(data)
        return len(data)
