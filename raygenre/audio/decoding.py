"""Decode audio files to mono samples at 22 050 Hz, and cut songs into windows.

GTZAN's images were computed from samples in this format. `raygenre.audio.blocks` does the decoding.

Conventions: samples are mono float32 in [−1, 1] at 22 050 Hz.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from raygenre.audio.blocks import SAMPLE_RATE, blocks, seekable
from raygenre.audio.errors import AudioError
from raygenre.audio.file_type import SUFFIXES

__all__ = [
    "LONGEST_SECONDS",
    "MAX_SINGLE_WINDOW",
    "MIN_LENGTH",
    "SAMPLE_RATE",
    "SILENT_MESSAGE",
    "SUFFIXES",
    "WINDOW",
    "AudioError",
    "Window",
    "decode",
    "decode_middle",
    "middle_window",
    "stream_windows",
    "windows",
]

WINDOW = 661_794  # samples: 30.0 s, the length of GTZAN's clips
MAX_SINGLE_WINDOW = 31 * SAMPLE_RATE  # samples; every GTZAN clip is shorter, so each is a single window
MIN_LENGTH = 3 * SAMPLE_RATE  # samples
LONGEST_SECONDS = 1800.0  # s; maximum duration of a song that is kept in memory as a whole
SILENT_MESSAGE = "the song is silent from beginning to end"  # used if all levels are 0

_MAX_HELD = 600  # s; maximum duration of the samples that `decode_section` keeps in memory


@dataclass(frozen=True)
class Window:
    """A section of a song from which one spectrogram is computed.

    Attributes:
        start: start time in s from the beginning of the song.
        end: end time in s from the beginning of the song.
        samples: float32 (N,), 30 s to 31 s long; a shorter song is repeated to fill 30 s.
    """

    start: float
    end: float
    samples: NDArray[np.float32]


def decode(
    source: Path | bytes | IO[bytes],
    *,
    longest_seconds: float = LONGEST_SECONDS,
    on_packet: Callable[[], object] = lambda: None,
) -> NDArray[np.float32]:
    """Decode an audio file to samples, float32 (N,) at 22 050 Hz.

    Args:
        source: path, bytes or binary stream. A stream is read from its beginning if it is seekable, otherwise from its
            current position. Streams are left open.
        longest_seconds: maximum duration in s. Decoding stops and the file is rejected once the audio exceeds this
            limit.
        on_packet: function to call before each packet is decoded. Any exception that it raises, except OSError and
            ValueError, stops decoding and propagates.

    Raises:
        AudioError: the file is not audio; is damaged, empty or too long; has a sample rate outside the range of 1 to
            768 kHz; or contains non-finite samples.
        OSError: the file cannot be opened, or the stream cannot be read.

    Example:
        >>> from raygenre.audio.encoding import encode
        >>> stereo = np.zeros((44_100, 2), dtype=np.float32)  # 1 s
        >>> decode(encode(stereo, "wav", "pcm_s16le", rate=44_100)).shape
        (22050,)
    """
    return np.concatenate(list(blocks(source, longest_seconds=longest_seconds, on_packet=on_packet)))


def windows(samples: NDArray[np.float32]) -> list[Window]:
    """Cut a song into windows, each of which becomes one spectrogram.

    A song of up to 31 s is a single window, and a song shorter than 30 s is repeated to fill 30 s. A longer song is cut
    every 30 s. If the last window would extend past the end of the song, it is moved back so that it ends with the
    song. The windows therefore cover the whole song without padding.

    Args:
        samples: float32 (N,) at 22 050 Hz.

    Raises:
        AudioError: the song is shorter than 3 s.
    """
    length = len(samples)
    if length < MIN_LENGTH:
        raise AudioError(f"the audio lasts {length / SAMPLE_RATE:.1f} s; at least 3 s are needed")
    if length <= MAX_SINGLE_WINDOW:
        repeated = np.resize(samples, WINDOW) if length < 30 * SAMPLE_RATE else samples
        return [Window(0.0, length / SAMPLE_RATE, repeated)]
    return [_window(start, samples[start : start + WINDOW]) for start in window_starts(length)]


def window_starts(length: int) -> list[int]:
    """Return the index of each window's first sample, for a song of `length` samples that lasts more than 31 s."""
    return [*range(0, length - WINDOW, WINDOW), length - WINDOW]


def stream_windows(
    parts: Iterable[NDArray[np.float32]],
    *,
    on_samples: Callable[[float, NDArray[np.float32]], object] = lambda start, samples: None,
) -> Iterator[Window]:
    """Cut a song into windows as its samples arrive, with the same result as `windows`.

    At most two windows are kept in memory, because the last window may start anywhere within the previous one.

    Args:
        parts: the song in pieces of any length, float32 (N,) at 22 050 Hz.
        on_samples: function to call whenever samples of a window have arrived, with the window's start in s and all of
            its samples so far. If the complete song has a window with this start, that window begins with these
            samples.

    Raises:
        AudioError: the song is shorter than 3 s.
    """
    start = 0  # start of `full` in the song, in samples; while `full` is None, start of `current`
    full: NDArray[np.float32] | None = None
    current, filled = np.empty(WINDOW, dtype=np.float32), 0
    for part in parts:
        while len(part):
            if filled == WINDOW:
                if full is not None:
                    yield _window(start, full)
                    start += WINDOW
                full, current, filled = current, np.empty(WINDOW, dtype=np.float32), 0
            copied, part = part[: WINDOW - filled], part[WINDOW - filled :]
            current[filled : filled + len(copied)] = copied
            filled += len(copied)
            on_samples((start if full is None else start + WINDOW) / SAMPLE_RATE, current[:filled])
    rest = current[:filled] if full is None else np.concatenate([full, current[:filled]])
    if start == 0:
        yield from windows(rest)
    else:
        yield _window(start, rest[:WINDOW])
        yield _window(start + len(rest) - WINDOW, rest[-WINDOW:])


def middle_window(samples: NDArray[np.float32]) -> Window:
    """Return the window that represents a song: the entire song if it lasts at most 31 s, otherwise its middle 30 s.

    Args:
        samples: float32 (N,) at 22 050 Hz.

    Raises:
        AudioError: the song is shorter than 3 s.
    """
    if len(samples) <= MAX_SINGLE_WINDOW:
        return windows(samples)[0]
    start = (len(samples) - WINDOW) // 2
    return _window(start, samples[start : start + WINDOW])


def decode_middle(source: Path | bytes | IO[bytes]) -> Window:
    """Decode the window that `middle_window` returns for a song; memory use does not grow with the song's length.

    Containers often state a wrong duration, so the middle is known only once the whole song has been decoded. Until
    then, the second half of the samples decoded so far is kept in memory. If that half is longer than ten minutes, the
    song is decoded again up to its middle.

    Args:
        source: path, bytes or binary stream, as for `decode`.

    Raises:
        AudioError: as for `decode`, or the song is shorter than 3 s.
        OSError: as for `decode`.
    """
    start, samples = decode_section(source, rate=SAMPLE_RATE, single=MAX_SINGLE_WINDOW, section=WINDOW)
    return _window(start, samples) if start else windows(samples)[0]


def decode_section(
    source: Path | bytes | IO[bytes], *, rate: int, single: int, section: int
) -> tuple[int, NDArray[np.float32]]:
    """Decode a short song as a whole, or a section from the middle of a longer one, as `decode_middle` does.

    Args:
        rate: sample rate in Hz.
        single: maximum length of a short song, in samples.
        section: length of the section, in samples; at most `single`.

    Returns:
        the position of the first returned sample in the song (0 only for a short song), and the samples, float32 (N,).

    Raises:
        AudioError, OSError: as for `decode`.
    """
    with seekable(source) as stream:
        held: deque[NDArray[np.float32]] = deque()
        dropped = length = 0  # samples
        for block in blocks(stream, rate=rate):
            held.append(block)
            length += len(block)
            earliest = (length - section) // 2 if length > single else 0
            while held and (dropped + len(held[0]) <= earliest or length - dropped > _MAX_HELD * rate):
                dropped += len(held.popleft())
        if length <= single:
            return 0, np.concatenate(held)
        start = (length - section) // 2
        if dropped <= start:
            return start, _part(held, start - dropped, section)
        with closing(blocks(stream, rate=rate)) as again:
            return start, _part(again, start, section)


def _window(start: int, samples: NDArray[np.float32]) -> Window:
    """Return a window that starts at the given sample of its song."""
    return Window(start / SAMPLE_RATE, (start + WINDOW) / SAMPLE_RATE, samples)


def _part(parts: Iterable[NDArray[np.float32]], start: int, length: int) -> NDArray[np.float32]:
    """Return the samples from `start` on, float32 (length,), reading only as many parts as necessary."""
    needed: list[NDArray[np.float32]] = []
    position, stop = 0, start + length
    for part in parts:
        if position + len(part) > start:
            needed.append(part[max(0, start - position) : stop - position])
        position += len(part)
        if position >= stop:
            break
    return np.concatenate(needed)
