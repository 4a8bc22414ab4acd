"""A window's picture shows its part of the song, for any model input and block size."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from raygenre import audio, spectrogram
from raygenre.audio.synthesis import synthesise
from raygenre.inputs.features import Features
from raygenre.inputs.levels import LEVELS
from serve.inference.window_picture import window_levels

RATE = audio.SAMPLE_RATE


@pytest.fixture(scope="module")
def song() -> NDArray[np.float32]:
    """A song of seventy seconds with three windows of features; the last one overlaps the second."""
    return np.concatenate([synthesise(genre, seed=1) for genre in ("bells", "storm", "drone")])[: 70 * RATE]


def blocks(samples: NDArray[np.float32], size: int) -> Iterator[NDArray[np.float32]]:
    return (samples[start : start + size] for start in range(0, len(samples), size))


@pytest.mark.parametrize("size", [10_000, 131_072, 80 * RATE])
def test_a_picture_shows_the_span_of_its_window(features: Features, song: NDArray[np.float32], size: int) -> None:
    spans = features.spans(70.0)
    assert len(spans) == 3
    for window, (start, end) in enumerate(spans):
        samples = song[round(start * RATE) : round(end * RATE)].copy()
        expected = spectrogram.levels(torch.from_numpy(samples), under_frame=True).numpy()
        levels, number = window_levels(blocks(song, size), features, window)
        assert number == 3
        assert np.array_equal(levels, expected)


def test_a_short_song_is_a_single_window(features: Features, song: NDArray[np.float32]) -> None:
    for kind in (features, LEVELS):
        levels, number = window_levels(blocks(song[: 4 * RATE], 9_000), kind, 0)
        assert (levels.shape, number) == ((128, 335), 1)


def test_a_window_that_does_not_exist_is_named(features: Features, song: NDArray[np.float32]) -> None:
    for kind in (features, LEVELS):
        with pytest.raises(ValueError, match="no window 3: it has 3 windows"):
            window_levels(blocks(song, 50_000), kind, 3)
        with pytest.raises(audio.AudioError, match=r"lasts 2\.0 s; at least 3 s"):
            window_levels(blocks(song[: 2 * RATE], 9_000), kind, 0)
