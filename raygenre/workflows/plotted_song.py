"""Classify a song and keep its spectrogram for a plot, with bounded memory use."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from raygenre.inputs.kind import Song
from raygenre.inputs.levels import LEVELS
from raygenre.model.classifier import Classifier, Prediction
from raygenre.spectrogram.levels import COLUMNS, N_MELS

_MAX_COLUMNS = 1 << 16  # columns of a plotted spectrogram; the plot itself is about 2100 pixels wide


@dataclass(frozen=True)
class PlottedSong:
    """A song for `timeline.plot`.

    Attributes:
        levels: uint8 (W, 128, C), the spectrogram of each window that is not silent.
        level_times: start and end of each of these windows in s; empty for an image.
        prediction: the prediction.
        times: start and end of each window of the prediction in s; empty for an image.
    """

    levels: NDArray[np.uint8]
    level_times: tuple[tuple[float, float], ...]
    prediction: Prediction
    times: tuple[tuple[float, float], ...]


def classify(classifier: Classifier, source: Path | bytes) -> PlottedSong:
    """Classify a file, reading it twice if the network's input is not levels.

    Raises:
        AudioError, ImageError, OSError: see `InputKind.read`.
    """
    if classifier.input is LEVELS:
        return classify_parts(classifier, LEVELS.read_parts(source))
    prediction, times = classifier.predict_parts(classifier.input.read_parts(source))
    shown = _Shown()
    level_times: list[tuple[float, float]] = []
    for part in shown.kept(LEVELS.read_parts(source)):
        level_times.extend(part.times)
    return PlottedSong(shown.levels, tuple(level_times), prediction, times)


def classify_parts(classifier: Classifier, parts: Iterable[Song]) -> PlottedSong:
    """Classify a song whose levels are read in parts."""
    shown = _Shown()
    prediction, times = classifier.predict_parts(shown.kept(parts))
    return PlottedSong(shown.levels, times, prediction, times)


class _Shown:
    """The levels of a song for its plot.

    In a song longer than an hour and a half, adjacent columns are averaged (in groups of 3, 9 or all 333 columns of a
    window), so that memory use does not grow with the song's length.
    """

    def __init__(self) -> None:
        self._parts: list[NDArray[np.uint8]] = []  # (W, 128, columns)
        self._columns = COLUMNS

    def kept(self, parts: Iterable[Song]) -> Iterator[Song]:
        """Yield the parts, and keep their levels."""
        for part in parts:
            self._parts.append(_with_columns(part.windows, self._columns))
            while sum(map(len, self._parts)) * self._columns > _MAX_COLUMNS and self._columns > 1:
                self._columns = self._columns // 3 if self._columns % 3 == 0 else 1
                self._parts = [_with_columns(levels, self._columns) for levels in self._parts]
            yield part

    @property
    def levels(self) -> NDArray[np.uint8]:
        """The levels of all parts so far, uint8 (W, 128, columns)."""
        return np.concatenate(self._parts)


def _with_columns(levels: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """Average adjacent columns of levels (W, 128, C) so that `columns` columns remain; `columns` must divide C."""
    if levels.shape[2] == columns:
        return levels
    averaged: NDArray[np.uint8] = levels.reshape(len(levels), N_MELS, columns, -1).mean(axis=3).astype(np.uint8)
    return averaged
