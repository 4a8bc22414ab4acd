from math import comb

import pytest

from raygenre.evaluation.chance import ChanceTest, guessing_rate


@pytest.mark.parametrize(("hits", "tracks", "rate"), [(4, 6, 1 / 3), (7, 40, 0.1), (0, 5, 0.5), (5, 5, 0.5)])
def test_the_p_value_is_the_tail_of_the_binomial(hits: int, tracks: int, rate: float) -> None:
    tail = sum(comb(tracks, k) * rate**k * (1 - rate) ** (tracks - k) for k in range(hits, tracks + 1))
    assert ChanceTest("test", hits, tracks, rate).p_value == pytest.approx(tail)


def test_many_tracks_do_not_overflow() -> None:
    assert ChanceTest("test", 10_000, 100_000, 0.1).p_value == pytest.approx(0.5, abs=0.01)
    assert ChanceTest("test", 12_000, 100_000, 0.1).p_value < 1e-50


def test_always_naming_the_largest_genre_is_guessing() -> None:
    """Of 40 tracks, 30 have the same genre; 31 correct answers would be significant if guessing reached only 25 %."""
    assert guessing_rate([30, 4, 3, 3]) == 0.75
    assert guessing_rate([10, 10, 10, 10]) == guessing_rate([40, 0, 0, 0]) / 4 == 0.25
    assert not ChanceTest("test", 31, 40, guessing_rate([30, 4, 3, 3])).is_better
    assert ChanceTest("test", 31, 40, 0.25).is_better


def test_tracks_of_one_genre_cannot_show_anything() -> None:
    assert ChanceTest("test", 9, 9, 1.0).p_value == 1.0


def test_the_result_is_a_clause() -> None:
    assert ChanceTest("test", 4, 40, 0.1).text == (
        "no better than chance: 4 of 40 test tracks are classified correctly, and guessing reaches 10.0% (p = 0.58)"
    )
    assert ChanceTest("validation", 30, 40, 0.1).text.startswith("better than chance: 30 of 40 validation tracks")
