import numpy as np
import pytest

from raygenre.evaluation.paired_test import PairedTest
from raygenre.evaluation.version_facts import VersionFacts
from raygenre.registry.decision import by_comparison, by_kind


def evidence(accuracy: float = 0.7, *, synthetic: bool = False, test: str = "t", sha256: str = "x") -> VersionFacts:
    return VersionFacts(test_accuracy=accuracy, test_digest=test, synthetic=synthetic, study="s", sha256=sha256)


@pytest.mark.parametrize(
    ("candidate", "champion", "promote"),
    [
        (evidence(0.1), evidence(0.9, synthetic=True), True),
        (evidence(0.9, synthetic=True), evidence(0.1), False),
    ],
)
def test_music_goes_before_synthetic_tracks(candidate: VersionFacts, champion: VersionFacts, promote: bool) -> None:
    decision = by_kind(candidate, champion, 3)
    assert decision is not None
    assert decision.promote is promote
    assert "version 3, " in decision.reason
    assert "synthetic" in decision.reason


@pytest.mark.parametrize("synthetic", [True, False])
def test_two_of_a_kind_are_to_be_compared(synthetic: bool) -> None:
    assert by_kind(evidence(0.9, synthetic=synthetic), evidence(0.1, synthetic=synthetic), 3) is None


@pytest.mark.parametrize(
    ("comparison", "promote", "reason"),
    [
        (PairedTest(60, 20, 5, 20), True, "it is better: of 105 tracks that neither was trained on 20 are right"),
        (PairedTest(60, 14, 7, 20), False, "it may be better by chance"),
        (PairedTest(60, 5, 20, 20), False, "it is not better"),
        (PairedTest(60, 0, 0, 20), False, "it is not better"),
        (PairedTest(20, 24, 0, 5), False, "only 49 tracks are left"),
        (PairedTest(20, 25, 0, 5), True, "it is better"),
    ],
)
def test_a_candidate_has_to_be_better_beyond_chance(comparison: PairedTest, promote: bool, reason: str) -> None:
    decision = by_comparison(comparison, 3)
    assert decision.promote is promote
    assert reason in decision.reason
    assert (decision.incumbent, decision.comparison) == (3, comparison)


@pytest.mark.parametrize(("better", "worse", "least", "most"), [(0.125, 0.125, 0.005, 0.05), (0.175, 0.075, 0.8, 1)])
def test_in_simulation_chance_is_seldom_promoted_and_ten_points_mostly_are(
    better: float, worse: float, least: float, most: float
) -> None:
    """2000 pairs on 199 tracks, of which a quarter are discordant: none better, then one by 10 points."""
    drawn = np.random.default_rng(0).multinomial(199, [0.45, better, worse, 0.3], size=2000)
    promoted = sum(by_comparison(PairedTest(*map(int, counts)), 1).promote for counts in drawn)
    assert least < promoted / 2000 <= most
