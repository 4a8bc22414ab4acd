import json

import numpy as np
import pytest
from numpy.typing import NDArray

from raygenre.inputs.kind import RANGES
from raygenre.inputs.levels import LEVELS
from raygenre.model.input_drift import BINS, MIN_SONGS, RECENT_SONGS, Drift, Reference


def tracks(number: int, *, seed: int, brighter: float = 0.0) -> NDArray[np.uint8]:
    """Return levels (number, 128, 4) with means that differ between tracks and between ranges."""
    generator = np.random.default_rng(seed)
    means = generator.normal(100 + brighter, 20, size=(number, RANGES)).clip(0, 255)
    return np.repeat(means.astype(np.uint8)[:, :, None], 8, axis=1).repeat(4, axis=2)


def index(reference: Reference, songs: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    drift = Drift(reference)
    for song in songs:
        drift.add(LEVELS.summaries(song[None]))
    return drift.index


def test_level_of_a_range_is_the_mean_of_its_eight_bands() -> None:
    levels = np.zeros((1, 128, 3), dtype=np.uint8)
    levels[0, 8:16] = 80
    assert LEVELS.summaries(levels)[0].tolist() == [0, 80, *[0] * 14]


def test_index_is_small_for_similar_songs_and_large_for_others() -> None:
    reference = Reference.of(LEVELS.summaries(tracks(800, seed=0)))
    similar, brighter = index(reference, tracks(900, seed=1)), index(reference, tracks(900, seed=2, brighter=20))
    assert similar is not None
    assert brighter is not None
    assert similar.max() < 0.1
    assert brighter.min() > 0.25


def test_index_matches_its_formula() -> None:
    reference = Reference(np.tile(np.arange(1.0, BINS), (RANGES, 1)), np.full((RANGES, BINS), 0.1))
    psi = index(reference, np.full((MIN_SONGS, 128, 2), 0, dtype=np.uint8))
    assert psi is not None
    shares = np.array([MIN_SONGS + 0.5, *[0.5] * 9]) / (MIN_SONGS + 5)
    assert psi == pytest.approx([sum((p - 0.1) * np.log(p / 0.1) for p in shares)] * RANGES)


def test_no_index_before_enough_songs() -> None:
    reference = Reference.of(LEVELS.summaries(tracks(100, seed=0)))
    assert index(reference, tracks(MIN_SONGS - 1, seed=1)) is None
    assert index(reference, tracks(MIN_SONGS, seed=1)) is not None


def test_old_songs_leave_the_index() -> None:
    reference = Reference.of(LEVELS.summaries(tracks(800, seed=0)))
    recent = tracks(RECENT_SONGS, seed=1)
    mixed = np.concatenate([tracks(300, seed=2, brighter=50), recent])
    assert index(reference, mixed) == pytest.approx(index(reference, recent))


def test_reference_survives_json() -> None:
    reference = Reference.of(LEVELS.summaries(tracks(50, seed=0)))
    restored = Reference.from_json(json.loads(json.dumps(reference.to_json())))
    assert restored.edges == pytest.approx(reference.edges, abs=1e-3)
    assert restored.shares == pytest.approx(reference.shares, abs=1e-6)


@pytest.mark.parametrize("stored", [{}, {"edges": [], "shares": []}, {"edges": None, "shares": "x"}])
def test_malformed_reference_raises_an_error(stored: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        Reference.from_json(stored)
