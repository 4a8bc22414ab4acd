"""Decode audio files to mono samples at 22 050 Hz, and cut songs into windows.

GTZAN's images were computed from such samples. `raygenre.audio.blocks` decodes them.

Conventions: samples are mono float32 in [−1, 1] at 22 050 Hz.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from raygenre.audio.blocks import CONTAINERS, SAMPLE_RATE, AudioError, blocks

__all__ = [
    "CONTAINERS",
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
    "middle_window",
    "windows",
]

SUFFIXES = frozenset(
    {
        ".wav",
        ".flac",
        ".mp3",
        ".ogg",
        ".oga",
        ".opus",
        ".m4a",
        ".aac",
        ".wma",
        ".webm",
        ".au",
        ".aif",
        ".aiff",
    }
)
WINDOW = 661_794  # samples: 30.0 s, the length of GTZAN's clips
MAX_SINGLE_WINDOW = 31 * SAMPLE_RATE  # samples; every GTZAN clip is shorter, so each is a single window
MIN_LENGTH = 3 * SAMPLE_RATE  # samples
LONGEST_SECONDS = 1800.0  # s
SILENT_MESSAGE = "the song is silent from beginning to end"  # used if all levels are 0


@dataclass(frozen=True)
class Window:
    """A section of a song from which one spectrogram is computed.

    Attributes:
        start: start time in s from the beginning of the song.
        end: end time in s from the beginning of the song.
        samples: float32 (N,), 30 s to 31 s long; a shorter song is repeated to 30 s.
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
        longest_seconds: maximum duration in s. Decoding stops and the file is rejected once it exceeds this limit.
        on_packet: function to call before each packet is decoded. Any exception that it raises, except OSError and
            ValueError, stops decoding and propagates.

    Raises:
        AudioError: the file is not audio, is damaged, empty or too long, has a sample rate outside 1 to 768 kHz, or
            contains samples that are not finite.
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
    every 30 s. If the last window would extend past the end of the song, it is moved back to end there, so the
    windows cover the whole song without padding.

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
    starts = [*range(0, length - WINDOW, WINDOW), length - WINDOW]
    return [
        Window(start / SAMPLE_RATE, (start + WINDOW) / SAMPLE_RATE, samples[start : start + WINDOW]) for start in starts
    ]


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
    return Window(start / SAMPLE_RATE, (start + WINDOW) / SAMPLE_RATE, samples[start : start + WINDOW])
