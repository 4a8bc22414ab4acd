"""The information needed to restore an old version of a file from the new one.

A difference is a list of steps that together produce the old bytes; each step is either a range of the new file or
literal bytes. Tags are small and the audio does not change, so the steps contain little more than the tags that were
changed. Common ranges are found by comparing the files at the shift of the last common range, at a shift equal to the
difference between the files' lengths, and at nearby shifts.
"""

import base64
import mmap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

Step = tuple[int, int] | str
"""Start and length of a range of the new file, or bytes in base64."""

_ANCHOR = 16  # number of equal bytes with which a common range must start
_STRIDE = 64  # bytes from one search to the next
_NEARBY = 1 << 20  # bytes before and after the last shift
_CHUNK = 1 << 20  # bytes compared at a time


def difference(old: Path, new: Path) -> list[Step]:
    """Return the steps that recreate the old file from the new one.

    Raises:
        OSError: a file cannot be read.
    """
    with _mapped(old) as before, _mapped(new) as after:
        return _steps(before, after)


def reconstruct(new: BinaryIO, steps: Sequence[Step], old: BinaryIO) -> None:
    """Write the old file, given the new one and the steps.

    Raises:
        OSError: a file cannot be read or written.
        ValueError: the steps do not belong to this file.
    """
    for step in steps:
        if isinstance(step, str):
            old.write(base64.b64decode(step, validate=True))
            continue
        start, left = step
        new.seek(start)
        while left > 0:
            data = new.read(min(left, _CHUNK))
            if not data:
                raise ValueError("the file is shorter than the difference")
            old.write(data)
            left -= len(data)


def _steps(old: bytes | mmap.mmap, new: bytes | mmap.mmap) -> list[Step]:
    steps: list[Step] = []
    at, shift, literal = 0, 0, 0
    while at < len(old):
        length = _common(old, at, new, at + shift)
        if length >= _ANCHOR or (length and at + length == len(old)):
            if literal < at:
                steps.append(base64.b64encode(old[literal:at]).decode())
            steps.append((at + shift, length))
            at += length
            literal = at
            continue
        at, shift = _next_common(old, at, new, shift)
    if literal < len(old):
        steps.append(base64.b64encode(old[literal:]).decode())
    return steps


def _next_common(old: bytes | mmap.mmap, at: int, new: bytes | mmap.mmap, shift: int) -> tuple[int, int]:
    """Return the start of the next common range in the old file, and the range's shift."""
    shifts = dict.fromkeys((shift, len(new) - len(old)))
    start = at
    while at < len(old):
        anchor = old[at : at + _ANCHOR]
        for candidate in shifts:
            if at + candidate >= 0 and new[at + candidate : at + candidate + _ANCHOR] == anchor:
                return at, candidate
        if (at - start) % _STRIDE == 0 and any(anchor):  # runs of zeros are too common
            found = new.find(anchor, max(0, at + shift - _NEARBY), at + shift + _NEARBY)
            if found >= 0:
                return at, found - at
        at += 1
    return at, shift


def _common(old: bytes | mmap.mmap, at: int, new: bytes | mmap.mmap, other: int) -> int:
    """Return the number of equal bytes that follow two positions."""
    if other < 0:
        return 0
    total, size = 0, _CHUNK
    end = min(len(old) - at, len(new) - other)
    while total < end:
        size = min(size, end - total)
        if old[at + total : at + total + size] == new[other + total : other + total + size]:
            total += size
        elif size == 1:
            break
        else:
            size = max(1, size // 2)
    return total


@contextmanager
def _mapped(path: Path) -> Iterator[bytes | mmap.mmap]:
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            yield mapped
