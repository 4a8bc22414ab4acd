"""Read a spectrogram image, or audio in 30 s windows, as input for the network."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from raygenre import audio, spectrogram
from raygenre.audio.blocks import blocks
from raygenre.system.regular_file import check_regular

WINDOWS_PER_PART = 64
"""Number of windows in a part of a song. The network takes as many at a time, so a song gives the same probabilities,
bit for bit, in parts and as a whole."""


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
    longest_seconds: float = math.inf,
    progress: Callable[[Literal["decode", "levels"]], object] = lambda stage: None,
) -> Song:
    """Read a spectrogram image (PNG) or an audio file. The type is determined by the file's content, not its name.

    An hour of audio gives 5 MB of levels. Its samples are not held.

    Args:
        source: path or bytes of the file.
        longest_seconds: maximum duration of audio in s.
        progress: function to call frequently with the stage about to run. An exception that it raises stops reading
            and propagates, as described in `audio.decode`.

    Raises:
        AudioError: the file is neither audio nor an image, or is damaged, too long, shorter than 3 s, or silent; or the
            path leads to a pipe or a device.
        ImageError: the file is a PNG, but is damaged or not a spectrogram.
        OSError: the file cannot be opened.
    """
    return _join(read_parts(source, longest_seconds=longest_seconds, progress=progress))


def read_parts(
    source: Path | bytes,
    *,
    longest_seconds: float = math.inf,
    progress: Callable[[Literal["decode", "levels"]], object] = lambda stage: None,
) -> Iterator[Song]:
    """Read a file as `read` does, in parts of 64 windows, so that memory does not grow with the song.

    Args, Raises: as for `read`. An error may be raised after the parts before the place of the error.
    """
    if is_image(source):
        levels = spectrogram.read_png(source)[None]
        if not levels.any():
            raise audio.AudioError(audio.SILENT_MESSAGE)
        yield Song(levels, ())
        return
    decoded = blocks(source, longest_seconds=longest_seconds, on_packet=lambda: progress("decode"))
    with closing(decoded):
        yield from _parts(audio.stream_windows(decoded), lambda: progress("levels"))


def from_blocks(samples: Iterable[NDArray[np.float32]], *, progress: Callable[[], object] = lambda: None) -> Song:
    """Return the network's input for a song's samples, of which at most two windows are held.

    Args:
        samples: the song in pieces of any length, float32 (N,) at 22 050 Hz.
        progress: function to call before each window. An exception that it raises propagates.

    Raises:
        AudioError: the song is shorter than 3 s, or silent.
    """
    return _join(_parts(audio.stream_windows(samples), progress))


def _parts(windows: Iterable[audio.Window], progress: Callable[[], object]) -> Iterator[Song]:
    """Compute the windows' levels. Silent windows are dropped: they have no genre, but the network would assign one."""
    levels: list[NDArray[np.uint8]] = []
    times: list[tuple[float, float]] = []
    numbers: list[int] = []
    is_silent = True
    for number, window in enumerate(windows):
        progress()
        shown = spectrogram.levels(torch.from_numpy(window.samples)).numpy()
        if not shown.any():
            continue
        levels.append(shown)
        times.append((window.start, window.end))
        numbers.append(number)
        if len(levels) == WINDOWS_PER_PART:
            yield Song(np.stack(levels), tuple(times), tuple(numbers))
            levels, times, numbers = [], [], []
            is_silent = False
    if levels:
        yield Song(np.stack(levels), tuple(times), tuple(numbers))
    elif is_silent:
        raise audio.AudioError(audio.SILENT_MESSAGE)


def _join(parts: Iterable[Song]) -> Song:
    songs = list(parts)
    return Song(
        np.concatenate([song.levels for song in songs]),
        tuple(chain.from_iterable(song.times for song in songs)),
        tuple(chain.from_iterable(song.numbers for song in songs)),
    )


def is_image(source: Path | bytes) -> bool:
    """Return whether a file is a PNG by its content.

    Raises:
        AudioError: it is not a regular file.
        OSError: the file cannot be opened.
    """
    if isinstance(source, bytes):
        return source.startswith(spectrogram.PNG_SIGNATURE)
    check_regular(source, audio.AudioError)
    with source.open("rb") as file:
        return file.read(len(spectrogram.PNG_SIGNATURE)) == spectrogram.PNG_SIGNATURE


def middle_levels(path: Path, *, under_frame: bool = False) -> NDArray[np.uint8]:
    """Return the levels, uint8 (128, 333), that represent an audio file. If it exceeds 31 s, its middle 30 s are used.

    Args:
        under_frame: whether to return 335 columns, as described in `spectrogram.levels`.

    Raises:
        AudioError: the file is not a regular file, not audio, damaged, shorter than 3 s, or silent in the part that is
            used.
        OSError: the file cannot be opened.
    """
    check_regular(path, audio.AudioError)
    window = audio.decode_middle(path)
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
