"""Explain what is wrong with a file that FFmpeg cannot decode."""

import io
import struct
from typing import IO

import av

_COPY = "copy it again from its source"
_CONVERT = "convert it to FLAC or MP3"
_MAX_BOXES = 1000  # maximum number of boxes of an MP4 file to search for its index; most files have about five


def failure_reason(stream: IO[bytes], name: str, error: Exception) -> str:
    """Return the message for a file that FFmpeg cannot decode.

    Args:
        stream: the file, seekable.
        name: name of its format, such as `MP4`.
        error: FFmpeg's error, or the error raised while reading the file.
    """
    if isinstance(error, av.error.MemoryError):
        return f"the {name} file needs more memory to decode than is available; {_CONVERT}"
    if isinstance(error, av.error.PatchWelcomeError):
        return f"the {name} file uses a rare variant that FFmpeg cannot decode; {_CONVERT}"
    return _missing_part(stream, name) or f"the {name} file is damaged or cut off; {_COPY}"


def no_track_reason(stream: IO[bytes], name: str) -> str:
    """Return the message for a file in which FFmpeg finds no audio track; arguments as for `failure_reason`."""
    return _missing_part(stream, name) or "the file has no audio track; choose a file that has one"


def _missing_part(stream: IO[bytes], name: str) -> str:
    if name == "MP4" and _lacks_index(stream):
        return f"the MP4 file is cut off before its index; {_COPY}"
    if name == "Ogg" and not _has_first_page(stream):
        return f"the Ogg file lacks its first page, which describes the encoding; {_COPY}"
    return ""


def _lacks_index(stream: IO[bytes]) -> bool:
    """Return whether an MP4 file ends before or within its `moov` box, without which its audio cannot be found."""
    length = stream.seek(0, io.SEEK_END)
    position = 0
    for _ in range(_MAX_BOXES):
        if position + 8 > length:
            return True
        stream.seek(position)
        size, kind, long_size = struct.unpack(">I4sQ", stream.read(16).ljust(16, b"\0"))
        size = long_size if size == 1 else size or length - position
        if kind == b"moov":
            return bool(position + size > length)
        if size < 8:
            return False  # damaged in another way
        position += size
    return False


def _has_first_page(stream: IO[bytes]) -> bool:
    stream.seek(0)
    page = stream.read(6)
    return len(page) < 6 or bool(page[5] & 2)
