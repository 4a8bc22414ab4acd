"""Levels as input: the spectrogram of each window, as in GTZAN's images."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from raygenre import audio, spectrogram
from raygenre.audio.decoding import MAX_SINGLE_WINDOW, window_starts
from raygenre.inputs.kind import RANGES, InputKind, Song
from raygenre.spectrogram.song import middle_levels


class Levels(InputKind):
    """uint8 (128, 333): 128 mel bands and 333 columns of 90 ms; see `raygenre.spectrogram.levels`."""

    name = "levels"
    recipe = spectrogram.RECIPE
    sample_rate = audio.SAMPLE_RATE
    shape = (spectrogram.N_MELS, spectrogram.COLUMNS)
    dtype = np.dtype(np.uint8)

    def cut(self, samples: Iterable[NDArray[np.float32]], progress: Callable[[], object]) -> Iterator[Song]:
        # A window's levels are computed while its samples arrive, so little work remains after the last sample.
        streams: defaultdict[float, spectrogram.LevelStream] = defaultdict(spectrogram.LevelStream)

        def on_samples(start: float, arrived: NDArray[np.float32]) -> None:
            progress()
            streams[start].add(torch.from_numpy(arrived))

        # Silent windows are dropped because they have no genre, but the network would still predict one.
        is_silent = True
        for number, window in enumerate(audio.stream_windows(samples, on_samples=on_samples)):
            progress()
            levels = (
                streams.pop(window.start, spectrogram.LevelStream()).finish(torch.from_numpy(window.samples)).numpy()
            )
            if levels.any():
                yield Song(levels[None], ((window.start, window.end),), (number,))
                is_silent = False
        if is_silent:
            raise audio.AudioError(audio.SILENT_MESSAGE)

    def spans(self, seconds: float) -> list[tuple[float, float]]:
        length = round(seconds * audio.SAMPLE_RATE)
        if length <= MAX_SINGLE_WINDOW:
            return [(0.0, seconds)]
        starts = [start / audio.SAMPLE_RATE for start in window_starts(length)]
        return [(start, start + audio.WINDOW / audio.SAMPLE_RATE) for start in starts]

    def from_levels(self, levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return levels

    def middle(self, path: Path) -> NDArray[np.uint8]:
        return middle_levels(path)

    def summaries(self, windows: NDArray[Any]) -> NDArray[np.float64]:
        # The mean level in each of sixteen ranges of mel bands, lowest first.
        return np.asarray(windows.reshape(len(windows), RANGES, -1).mean(axis=2))

    def save(self, folder: Path) -> None:
        """Write nothing, because levels need no weights."""

    def __reduce__(self) -> str:
        return "LEVELS"  # so that `input is LEVELS` is also true after a classifier has been sent to another process


LEVELS = Levels()
