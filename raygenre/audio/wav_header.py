"""Replacement headers for WAV files that are big-endian or hold 24-bit integers in 32 bits.

FFmpeg reads the samples of a big-endian file (RIFX) as little-endian, which turns music into noise. FFmpeg also reads
24-bit integers stored in 32 bits as floats, most of which are NaN.
"""

import struct
from dataclasses import dataclass
from typing import IO, Literal

import numpy as np

from raygenre.audio.errors import AudioError

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE  # codes of WAVE formats
# Codes of AU files, which are big-endian, by WAVE format and bytes per sample.
_AU_CODES = {(_PCM, 2): 3, (_PCM, 3): 4, (_PCM, 4): 5, (_FLOAT, 4): 6, (_FLOAT, 8): 7}
_UNKNOWN_SIZE = 0xFFFFFFFF
_SAMPLED = 1 << 16  # bytes from the middle of the file, examined to determine how integers are stored
_MAX_FLOAT = 2.0**24  # the floats in old Cool Edit files ("24.0") reach ±2²³


@dataclass(frozen=True)
class Replacement:
    """A header that replaces the file's own, and the part of the file that follows it.

    Attributes:
        header: the new header.
        start: index of the first byte that follows.
        end: index just past the last byte that follows; None for the end of the file.
    """

    header: bytes
    start: int
    end: int | None


@dataclass(frozen=True)
class _Format:
    code: int
    channels: int
    rate: int  # Hz
    container: int  # bytes per stored sample
    bits: int  # bits that are used
    is_extensible: bool


def replacement(stream: IO[bytes], head: bytes, start: int) -> Replacement | None:
    """Return a header with which FFmpeg reads a WAV file correctly; None if the file's own header suffices.

    Args:
        head: the file's first bytes.
        start: index of the WAV file's first byte in the head.

    Raises:
        AudioError: the file is big-endian, and there is no replacement header for its kind.
    """
    order: Literal["<", ">"] = ">" if head.startswith(b"RIFX", start) else "<"
    chunks = _chunks(head, start + 12, order)
    if b"fmt " not in chunks or b"data" not in chunks or not (wave := _format(*chunks[b"fmt "], head, order)):
        if order == ">":
            raise AudioError("the file is a big-endian WAV (RIFX) with an incomplete header; copy it again")
        return None
    first, size = chunks[b"data"]
    end = None if size in (0, _UNKNOWN_SIZE) else first + size
    if order == ">" and wave.container > 1:
        return Replacement(_au_header(wave, size), first, end)
    if wave.code == _PCM and wave.container == 4 and 0 < wave.bits <= 24:
        shift = _shift(stream, wave, first, end)
        if shift is not None:
            # Starting `shift` bytes earlier moves the used bytes of each sample to the top. The bytes below them are
            # then the previous sample's sign bytes, which amount to 2⁻²⁴ of full scale.
            return Replacement(_wav_header(wave, size), first - shift, end and end - shift)
    if order == ">":
        return Replacement(_wav_header(wave, size), first, end)
    return None


def _chunks(head: bytes, position: int, order: str) -> dict[bytes, tuple[int, int]]:
    """Return the (start, size) of the content of each chunk up to and including `data`."""
    chunks: dict[bytes, tuple[int, int]] = {}
    while position + 8 <= len(head) and b"data" not in chunks:
        name, size = struct.unpack_from(f"{order}4sI", head, position)
        chunks[name] = (position + 8, size)
        position += 8 + size + size % 2
    return chunks


def _format(start: int, size: int, head: bytes, order: str) -> _Format | None:
    if size < 16 or len(head) < start + size:
        return None
    code, channels, rate, _, block, bits = struct.unpack_from(f"{order}HHIIHH", head, start)
    is_extensible = code == _EXTENSIBLE and size >= 40
    if is_extensible:
        valid_bits, _, code = struct.unpack_from(f"{order}HII", head, start + 18)
        bits = valid_bits or bits
    if not channels or not block or block % channels:
        return None
    return _Format(code, channels, rate, block // channels, bits, is_extensible)


def _shift(stream: IO[bytes], wave: _Format, first: int, end: int | None) -> int | None:
    """Return the number of unused high bytes of integers stored in 32 bits; None if FFmpeg reads them correctly."""
    if end is None:
        end = stream.seek(0, 2)
    block = 4 * wave.channels
    stream.seek(first + max(0, (end - first - _SAMPLED) // 2 // block * block))
    data = stream.read(_SAMPLED)
    integers = np.frombuffer(data[: len(data) // 4 * 4], dtype="<i4")
    with np.errstate(invalid="ignore"):
        floats = np.abs(integers.view("<f4")[integers != 0])
        is_float = ((floats > 1 / _MAX_FLOAT) & (floats <= _MAX_FLOAT)).mean() > 0.9 if floats.size else False
    if is_float and not wave.is_extensible:  # as old versions of Cool Edit wrote them
        return None
    used = (wave.bits + 7) // 8
    limit = 1 << (8 * used - 1)
    is_left_aligned = not (integers & ((1 << (32 - 8 * used)) - 1)).any()
    is_right_aligned = bool(((integers >= -limit) & (integers < limit)).all())
    return 4 - used if is_right_aligned and not is_left_aligned else 0


def _wav_header(wave: _Format, size: int) -> bytes:
    block = wave.channels * wave.container
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", _UNKNOWN_SIZE, b"WAVE", b"fmt ", 16, wave.code, wave.channels),
        *(wave.rate, min(wave.rate * block, _UNKNOWN_SIZE), block, 8 * wave.container, b"data", size or _UNKNOWN_SIZE),
    )


def _au_header(wave: _Format, size: int) -> bytes:
    if not (code := _AU_CODES.get((wave.code, wave.container))):
        raise AudioError(
            f"the file is a big-endian WAV (RIFX) with {wave.bits}-bit samples of format {wave.code}, which cannot be "
            "decoded; convert it to FLAC or MP3"
        )
    return struct.pack(">4s5I", b".snd", 24, size or _UNKNOWN_SIZE, code, wave.rate, wave.channels)
