import json

import numpy as np
import pytest
from numpy.typing import NDArray

from raygenre.model.input_drift import BINS, FEWEST, RANGES, RECENT, Drift, Reference, mean_levels


def tracks(number: int, *, seed: int, brighter: float = 0.0) -> NDArray[np.uint8]:
    """Tracks (number, 128, 4) whose mean level differs from track to track, and from range to range."""
    chance = np.random.default_rng(seed)
    means = chance.normal(100 + brighter, 20, size=(number, RANGES)).clip(0, 255)
    return np.repeat(means.astype(np.uint8)[:, :, None], 8, axis=1).repeat(4, axis=2)


def index(reference: Reference, songs: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    drift = Drift(reference)
    for song in songs:
        drift.add(song[None])
    return drift.index


def test_a_range_is_the_mean_of_its_eight_bands() -> None:
    levels = np.zeros((1, 128, 3), dtype=np.uint8)
    levels[0, 8:16] = 80
    assert mean_levels(levels)[0].tolist() == [0, 80, *[0] * 14]


def test_songs_like_the_training_tracks_have_a_small_index_and_others_a_large_one() -> None:
    reference = Reference.of(tracks(800, seed=0))
    same, other = index(reference, tracks(900, seed=1)), index(reference, tracks(900, seed=2, brighter=20))
    assert same is not None
    assert other is not None
    assert same.max() < 0.1
    assert other.min() > 0.25


def test_the_index_is_the_sum_it_says() -> None:
    reference = Reference(np.tile(np.arange(1.0, BINS), (RANGES, 1)), np.full((RANGES, BINS), 0.1))
    found = index(reference, np.full((FEWEST, 128, 2), 0, dtype=np.uint8))
    assert found is not None
    shares = np.array([FEWEST + 0.5, *[0.5] * 9]) / (FEWEST + 5)
    assert found == pytest.approx([sum((p - 0.1) * np.log(p / 0.1) for p in shares)] * RANGES)


def test_few_songs_say_nothing() -> None:
    reference = Reference.of(tracks(100, seed=0))
    assert index(reference, tracks(FEWEST - 1, seed=1)) is None
    assert index(reference, tracks(FEWEST, seed=1)) is not None


def test_old_songs_are_forgotten() -> None:
    reference = Reference.of(tracks(800, seed=0))
    recent = tracks(RECENT, seed=1)
    mixed = np.concatenate([tracks(300, seed=2, brighter=50), recent])
    assert index(reference, mixed) == pytest.approx(index(reference, recent))


def test_a_reference_survives_json() -> None:
    reference = Reference.of(tracks(50, seed=0))
    again = Reference.from_json(json.loads(json.dumps(reference.to_json())))
    assert again.edges == pytest.approx(reference.edges, abs=1e-3)
    assert again.shares == pytest.approx(reference.shares, abs=1e-6)


@pytest.mark.parametrize("stored", [{}, {"edges": [], "shares": []}, {"edges": None, "shares": "x"}])
def test_what_is_no_reference_is_refused(stored: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        Reference.from_json(stored)
