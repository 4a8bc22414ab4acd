import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from raygenre.evaluation.paired_test import PairedTest, paired_test_text


def test_tracks_are_counted_by_kind() -> None:
    candidate = np.array([1, 1, 1, 0, 0, 1], dtype=bool)
    incumbent = np.array([1, 0, 0, 1, 0, 1], dtype=bool)
    test = PairedTest.of(candidate, incumbent)
    assert test == PairedTest(both=2, only_candidate=2, only_incumbent=1, neither=1)
    assert test.tracks == 6
    assert test.candidate_accuracy == candidate.mean()
    assert test.incumbent_accuracy == incumbent.mean()
    assert test.difference == pytest.approx(1 / 6)


def test_five_of_five_discordant_tracks_have_p_of_1_in_32() -> None:
    assert PairedTest(10, 5, 0, 10).p_value == 1 / 32
    assert PairedTest(10, 0, 5, 10).p_value == 1
    assert PairedTest(10, 5, 0, 10).two_sided_p_value == 1 / 16
    assert PairedTest(10, 0, 0, 10).p_value == PairedTest(10, 0, 0, 10).two_sided_p_value == 1


@given(st.integers(0, 500), st.integers(0, 500))
def test_p_values_equal_scipys_binomial_test(candidate: int, incumbent: int) -> None:
    test = PairedTest(1, candidate, incumbent, 0)
    discordant = candidate + incumbent
    if discordant:
        assert test.p_value == pytest.approx(binomtest(candidate, discordant, alternative="greater").pvalue)
        assert test.two_sided_p_value == pytest.approx(binomtest(candidate, discordant).pvalue)


def test_the_interval_equals_that_of_resampled_tracks() -> None:
    """Resampling the tracks and the normal approximation give nearly the same interval."""
    test = PairedTest(both=90, only_candidate=35, only_incumbent=15, neither=59)
    differences = np.repeat([0, 1, -1, 0], [90, 35, 15, 59])
    drawn = np.random.default_rng(1).choice(differences, size=(4000, 199)).mean(axis=1)
    assert test.interval == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])), abs=0.006)
    half = 1.96 * differences.std() / np.sqrt(199)
    assert test.interval == pytest.approx((differences.mean() - half, differences.mean() + half), abs=0.006)
    assert test.interval == PairedTest(both=90, only_candidate=35, only_incumbent=15, neither=59).interval


def test_equal_predictions_have_no_difference() -> None:
    test = PairedTest(both=50, only_candidate=0, only_incumbent=0, neither=10)
    assert (test.difference, test.interval) == (0, (0, 0))


def test_unequal_numbers_of_tracks_are_rejected() -> None:
    with pytest.raises(ValueError, match="2 predictions cannot be compared with 1"):
        PairedTest.of(np.array([True, False]), np.array([True]))
    with pytest.raises(ValueError, match="at least one track"):
        PairedTest.of(np.array([], dtype=bool), np.array([], dtype=bool))


def test_the_text_calls_a_difference_significant_below_alpha() -> None:
    test = PairedTest(both=10, only_candidate=9, only_incumbent=1, neither=5)
    assert "a significant difference (exact McNemar test, two-sided: p = 0.021)" in paired_test_text(
        test, "a", "b", alpha=0.05
    )
    assert "which may be chance (exact" in paired_test_text(test, "a", "b", alpha=0.01)
