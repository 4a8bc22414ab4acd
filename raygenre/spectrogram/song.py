"""A file as the network sees it: a dataset-style picture, or any audio in windows of 30 s."""

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
    """What the network sees of a file.

    Attributes:
        levels: uint8 (W, 128, 333), one spectrogram a window; windows without any sound are left out.
        times: start and end of each window in s; empty for a picture, which tells no time.
        numbers: place of each among all windows of the song, those left out too; empty for a picture.
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
    """Read a dataset-style PNG or an audio file, told apart by content, as the network sees it.

    Args:
        longest_seconds: s of sound after which an audio file is refused.
        progress: called often, with what is done next; what it raises ends the reading, as `audio.decode` says.

    Raises:
        ValueError: the file is neither, or damaged, or shorter than 3 s, or silent; the message says what it is.
        OSError: the file cannot be opened.
    """
    if _begins(source).startswith(spectrogram.PNG_SIGNATURE):
        return _heard(spectrogram.read_png(source)[None], ())
    samples = audio.decode(source, longest_seconds=longest_seconds, tick=lambda: progress("decode"))
    return hear(samples, progress=lambda: progress("levels"))


def hear(samples: NDArray[np.float32], *, progress: Callable[[], object] = lambda: None) -> Song:
    """Return what the network sees of a song's samples, float32 (N,) at 22 050 Hz.

    Args:
        progress: called before each window; what it raises ends the hearing.

    Raises:
        ValueError: the song is shorter than 3 s, or silent.
    """
    windows = audio.windows(samples)
    levels = []
    for window in windows:
        progress()
        levels.append(spectrogram.levels(torch.from_numpy(window.samples)).numpy())
    return _heard(np.stack(levels), tuple((window.start, window.end) for window in windows))


def _heard(levels: NDArray[np.uint8], times: tuple[tuple[float, float], ...]) -> Song:
    """The windows that sound: of silence a network says something, too, but nothing that it has learned."""
    sounding = levels.reshape(len(levels), -1).max(axis=1) > 0
    if not sounding.any():
        raise ValueError(audio.SILENT)
    numbers = range(len(times))
    return Song(levels[sounding], tuple(compress(times, sounding)), tuple(compress(numbers, sounding)))


def _begins(source: Path | bytes) -> bytes:
    """The first bytes of a file, of which a long one has more than memory should hold."""
    if isinstance(source, bytes):
        return source[: len(spectrogram.PNG_SIGNATURE)]
    with source.open("rb") as file:
        return file.read(len(spectrogram.PNG_SIGNATURE))


def levels(song: Path, *, under_frame: bool = False) -> NDArray[np.uint8]:
    """Return the levels uint8 (128, 333) that stand for a whole audio file: of one longer than 31 s the middle 30 s.

    Args:
        under_frame: 335 columns instead, as `spectrogram.levels` has it.

    Raises:
        ValueError: the file is damaged, too short, no audio, or silent where it is to be drawn.
        OSError: the file cannot be opened.
    """
    window = audio.middle_window(audio.decode(song))
    found = spectrogram.levels(torch.from_numpy(window.samples), under_frame=under_frame).numpy()
    if not found.any():
        raise ValueError(
            audio.SILENT if window.start == 0 else "the song is silent in its middle 30 s, which are drawn"
        )
    return found


def render(song: Path) -> bytes:
    """Return the PNG file of a song, exactly as the dataset drew its own.

    Raises:
        ValueError, OSError: as `levels`.
    """
    return spectrogram.write_png(levels(song, under_frame=True))
