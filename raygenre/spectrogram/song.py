"""Read a spectrogram image, or audio in 30 s windows, as input for the network."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from raygenre import audio, spectrogram


@dataclass(frozen=True)
class Song:
    """The network's input for one file.

    Attributes:
        levels: uint8 (W, 128, 333), the spectrogram of each window that is not silent.
        times: start and end of each of these windows in s; empty for an image, which has no times.
        numbers: index of each of these windows among all windows of the song, including silent windows; empty for an
            image.
    """

    levels: NDArray[np.uint8]
    times: tuple[tuple[float, float], ...]
    numbers: tuple[int, ...] = ()


def read(
    source: Path | bytes,
    *,
    longest_seconds: float = audio.LONGEST_SECONDS,
    progress: Callable[[Literal["decode", "levels"]], object] = lambda stage: None,
) -> Song:
    """Read a spectrogram image (PNG) or an audio file. The type is determined by the file's content, not its name.

    Args:
        source: path or bytes of the file.
        longest_seconds: maximum duration of audio in s.
        progress: function to call frequently with the stage about to run. An exception that it raises stops reading
            and propagates, as described in `audio.decode`.

    Raises:
        AudioError: the file is neither audio nor an image, or is damaged, too long, shorter than 3 s, or silent.
        ImageError: the file is a PNG, but is damaged or not a spectrogram.
        OSError: the file cannot be opened.
    """
    if is_image(source):
        return _without_silence(spectrogram.read_png(source)[None], ())
    samples = audio.decode(source, longest_seconds=longest_seconds, on_packet=lambda: progress("decode"))
    return from_samples(samples, progress=lambda: progress("levels"))


def from_samples(samples: NDArray[np.float32], *, progress: Callable[[], object] = lambda: None) -> Song:
    """Return the network's input for a song's samples.

    Args:
        samples: float32 (N,) at 22 050 Hz.
        progress: function to call before each window. An exception that it raises propagates.

    Raises:
        AudioError: the song is shorter than 3 s, or silent.
    """
    windows = audio.windows(samples)
    levels = []
    for window in windows:
        progress()
        levels.append(spectrogram.levels(torch.from_numpy(window.samples)).numpy())
    return _without_silence(np.stack(levels), tuple((window.start, window.end) for window in windows))


def _without_silence(levels: NDArray[np.uint8], times: tuple[tuple[float, float], ...]) -> Song:
    """Drop silent windows: they have no genre, but the network would assign one to them."""
    audible = levels.reshape(len(levels), -1).max(axis=1) > 0
    if not audible.any():
        raise audio.AudioError(audio.SILENT_MESSAGE)
    numbers = range(len(times))
    return Song(levels[audible], tuple(compress(times, audible)), tuple(compress(numbers, audible)))


def is_image(source: Path | bytes) -> bool:
    """Return whether a file is a PNG by its content.

    Raises:
        OSError: the file cannot be opened.
    """
    if isinstance(source, bytes):
        return source.startswith(spectrogram.PNG_SIGNATURE)
    with source.open("rb") as file:
        return file.read(len(spectrogram.PNG_SIGNATURE)) == spectrogram.PNG_SIGNATURE


def middle_levels(path: Path, *, under_frame: bool = False) -> NDArray[np.uint8]:
    """Return the levels, uint8 (128, 333), that represent an audio file. If it exceeds 31 s, its middle 30 s are used.

    Args:
        under_frame: whether to return 335 columns, as described in `spectrogram.levels`.

    Raises:
        AudioError: the file is not audio, is damaged, too long, shorter than 3 s, or silent in the part that is used.
        OSError: the file cannot be opened.
    """
    window = audio.middle_window(audio.decode(path))
    levels = spectrogram.levels(torch.from_numpy(window.samples), under_frame=under_frame).numpy()
    if not levels.any():
        raise audio.AudioError(
            audio.SILENT_MESSAGE
            if window.start == 0
            else "the song is silent in its middle 30 s, the only part that is used; cut the silence out"
        )
    return levels


def render(path: Path) -> bytes:
    """Return a PNG of a song's spectrogram, made exactly like GTZAN's images.

    Raises:
        AudioError, OSError: as for `middle_levels`.
    """
    return spectrogram.write_png(middle_levels(path, under_frame=True))
