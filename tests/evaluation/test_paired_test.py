import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from raygenre.evaluation.paired_test import PairedTest


def test_tracks_are_counted_by_their_kind() -> None:
    candidate = np.array([1, 1, 1, 0, 0, 1], dtype=bool)
    incumbent = np.array([1, 0, 0, 1, 0, 1], dtype=bool)
    found = PairedTest.of(candidate, incumbent)
    assert found == PairedTest(both=2, candidate=2, incumbent=1, neither=1)
    assert found.tracks == 6
    assert found.candidate_accuracy == candidate.mean()
    assert found.incumbent_accuracy == incumbent.mean()
    assert found.difference == pytest.approx(1 / 6)


def test_five_of_five_are_the_candidates_once_in_32() -> None:
    assert PairedTest(10, 5, 0, 10).p_value == 1 / 32
    assert PairedTest(10, 0, 5, 10).p_value == 1
    assert PairedTest(10, 5, 0, 10).two_sided_p_value == 1 / 16
    assert PairedTest(10, 0, 0, 10).p_value == PairedTest(10, 0, 0, 10).two_sided_p_value == 1


@given(st.integers(0, 500), st.integers(0, 500))
def test_the_p_value_is_that_of_the_binomial_test(candidate: int, incumbent: int) -> None:
    found = PairedTest(1, candidate, incumbent, 0)
    discordant = candidate + incumbent
    if discordant:
        assert found.p_value == pytest.approx(binomtest(candidate, discordant, alternative="greater").pvalue)
        assert found.two_sided_p_value == pytest.approx(binomtest(candidate, discordant).pvalue)


def test_the_interval_is_that_of_resampled_tracks() -> None:
    """The same from tracks drawn one by one, and about what the normal distribution says."""
    found = PairedTest(both=90, candidate=35, incumbent=15, neither=59)
    each = np.repeat([0, 1, -1, 0], [90, 35, 15, 59])
    drawn = np.random.default_rng(1).choice(each, size=(4000, 199)).mean(axis=1)
    assert found.interval == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])), abs=0.006)
    half = 1.96 * each.std() / np.sqrt(199)
    assert found.interval == pytest.approx((each.mean() - half, each.mean() + half), abs=0.006)
    assert found.interval == PairedTest(both=90, candidate=35, incumbent=15, neither=59).interval


def test_equal_answers_have_no_difference() -> None:
    found = PairedTest(both=50, candidate=0, incumbent=0, neither=10)
    assert (found.difference, found.interval) == (0, (0, 0))


def test_answers_to_other_tracks_are_refused() -> None:
    with pytest.raises(ValueError, match="2 answers cannot be compared with 1"):
        PairedTest.of(np.array([True, False]), np.array([True]))
    with pytest.raises(ValueError, match="at least one track"):
        PairedTest.of(np.array([], dtype=bool), np.array([], dtype=bool))
