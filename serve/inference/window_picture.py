"""Computes the spectrogram of one window of a song, for any kind of model input."""

from collections import deque
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from raygenre import audio, spectrogram
from raygenre.inputs.kind import InputKind
from raygenre.inputs.levels import LEVELS

_LONGEST = 31.0  # s; maximum length of a window


def window_levels(
    samples: Iterable[NDArray[np.float32]], kind: InputKind, window: int
) -> tuple[NDArray[np.uint8], int]:
    """Return one window's levels, uint8 (128, 335), and the number of windows in the song.

    At most two windows of samples are kept in memory, because the last window may start anywhere in the window before
    it.

    Args:
        samples: the song in blocks of any length, float32 (N,) at 22 050 Hz.
        kind: the kind of input that determines the windows.
        window: index of the window; silent windows are counted.

    Raises:
        AudioError: the song is shorter than 3 s.
        ValueError: the song has no window with this index.
    """
    number, levels = _of_levels(samples, window) if kind is LEVELS else _of_spans(samples, kind, window)
    if levels is None:
        raise ValueError(f"the file has no window {window}: it has {number} windows, numbered from 0")
    return levels, number


def _of_levels(samples: Iterable[NDArray[np.float32]], window: int) -> tuple[int, NDArray[np.uint8] | None]:
    number, levels = 0, None
    for number, part in enumerate(audio.stream_windows(samples), start=1):
        if number == window + 1:
            levels = _shown(part.samples)
    return number, levels


def _of_spans(
    samples: Iterable[NDArray[np.float32]], kind: InputKind, window: int
) -> tuple[int, NDArray[np.uint8] | None]:
    held: deque[NDArray[np.float32]] = deque()
    first = length = 0  # number of samples that precede those in memory, and total number of samples
    section: NDArray[np.float32] | None = None
    for block in samples:
        length += len(block)
        if section is not None:  # the remaining samples are only counted
            continue
        held.append(block)
        spans = kind.spans(length / audio.SAMPLE_RATE)
        if window + 1 < len(spans):  # another window follows, so this window no longer changes
            section = _cut(held, first, spans[window])
            held.clear()
            continue
        earliest = spans[window][0] if window < len(spans) else length / audio.SAMPLE_RATE - _LONGEST
        while held and first + len(held[0]) <= earliest * audio.SAMPLE_RATE:
            first += len(held.popleft())
    if length < audio.MIN_LENGTH:
        raise audio.AudioError(f"the audio lasts {length / audio.SAMPLE_RATE:.1f} s; at least 3 s are needed")
    spans = kind.spans(length / audio.SAMPLE_RATE)
    if section is None and window < len(spans):
        section = _cut(held, first, spans[window])
    return len(spans), None if section is None else _shown(section)


def _cut(held: Iterable[NDArray[np.float32]], first: int, span: tuple[float, float]) -> NDArray[np.float32]:
    start, end = (round(seconds * audio.SAMPLE_RATE) - first for seconds in span)
    return np.concatenate(list(held))[start:end].copy()


def _shown(samples: NDArray[np.float32]) -> NDArray[np.uint8]:
    return spectrogram.levels(torch.from_numpy(samples), under_frame=True).numpy()
