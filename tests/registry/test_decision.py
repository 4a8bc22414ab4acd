import numpy as np
import pytest

from raygenre.evaluation.paired_test import PairedTest
from raygenre.evaluation.version_facts import VersionFacts
from raygenre.registry.champion import Incumbent
from raygenre.registry.decision import decide, decide_by_paired_test, decide_by_training_data, decision_notes
from raygenre.registry.versions import RegistryError


def facts(accuracy: float = 0.7, *, synthetic: bool = False, test: str = "t", sha256: str = "x") -> VersionFacts:
    return VersionFacts(test_accuracy=accuracy, test_digest=test, synthetic=synthetic, study="s", sha256=sha256)


@pytest.mark.parametrize(
    ("candidate", "champion", "promote"),
    [
        (facts(0.1), facts(0.9, synthetic=True), True),
        (facts(0.9, synthetic=True), facts(0.1), False),
    ],
)
def test_a_model_of_real_tracks_beats_one_of_synthetic_tracks(
    candidate: VersionFacts, champion: VersionFacts, promote: bool
) -> None:
    decision = decide_by_training_data(candidate, champion, 3)
    assert decision is not None
    assert decision.promote is promote
    assert "version 3, " in decision.reason
    assert "synthetic" in decision.reason


@pytest.mark.parametrize("synthetic", [True, False])
def test_models_of_the_same_kind_of_tracks_have_to_be_compared(synthetic: bool) -> None:
    assert decide_by_training_data(facts(0.9, synthetic=synthetic), facts(0.1, synthetic=synthetic), 3) is None


@pytest.mark.parametrize(
    ("comparison", "promote", "reason"),
    [
        (
            PairedTest(60, 20, 5, 20),
            True,
            "it is better: of 105 tracks that neither was trained on, 20 are classified correctly",
        ),
        (PairedTest(60, 14, 7, 20), False, "it may be better only by chance"),
        (PairedTest(60, 5, 20, 20), False, "it is not better"),
        (PairedTest(60, 0, 0, 20), False, "it is not better"),
        (PairedTest(20, 24, 0, 5), False, "only 49 tracks remain"),
        (PairedTest(20, 25, 0, 5), True, "it is better"),
    ],
)
def test_a_candidate_has_to_be_significantly_better(comparison: PairedTest, promote: bool, reason: str) -> None:
    decision = decide_by_paired_test(comparison, 3)
    assert decision.promote is promote
    assert reason in decision.reason
    assert (decision.incumbent, decision.comparison) == (3, comparison)


@pytest.mark.parametrize(("better", "worse", "least", "most"), [(0.125, 0.125, 0.005, 0.05), (0.175, 0.075, 0.8, 1)])
def test_the_rule_promotes_ten_points_often_and_chance_rarely(
    better: float, worse: float, least: float, most: float
) -> None:
    """Each case simulates 2000 tests on 199 tracks; on about a quarter of these, only one of the models is right.

    The models are equally good in the first case, and their accuracies differ by 10 points in the second.
    """
    drawn = np.random.default_rng(0).multinomial(199, [0.45, better, worse, 0.3], size=2000)
    promoted = sum(decide_by_paired_test(PairedTest(*map(int, counts)), 1).promote for counts in drawn)
    assert least < promoted / 2000 <= most


def unused(incumbent: int) -> PairedTest:
    raise AssertionError("this rule needs no comparison")


@pytest.mark.parametrize(
    ("incumbent", "force", "promote", "reason"),
    [
        (Incumbent(7, facts(), has_alias=True), None, True, "it is already the champion"),
        (Incumbent(7, facts(), has_alias=False), False, True, "it replaces a champion that was deleted"),
        (None, None, True, "there was no champion"),
        (None, False, False, "promotion was disabled"),
        (Incumbent(3, None, has_alias=True), None, False, "no record of how the champion, version 3"),
        (Incumbent(3, None, has_alias=True), True, True, "forced, although the registry has no record"),
        (Incumbent(3, facts(synthetic=True), has_alias=True), True, True, "version 3, was trained on synthetic tracks"),
    ],
)
def test_rules_without_a_comparison(
    incumbent: Incumbent | None, force: bool | None, promote: bool, reason: str
) -> None:
    decision = decide(7, facts(), incumbent, unused, force=force)
    assert decision.promote is promote
    assert reason in decision.reason
    assert decision.incumbent == (incumbent.version if incumbent else None)


GUESSING = VersionFacts(0.1, "t", synthetic=False, study="s", sha256="x", test_tracks=40, genres=10, test_guessing=0.1)


@pytest.mark.parametrize("incumbent", [None, Incumbent(3, facts(synthetic=True), has_alias=True)])
def test_no_better_than_chance_needs_force(incumbent: Incumbent | None) -> None:
    decision = decide(7, GUESSING, incumbent, unused)
    assert not decision.promote
    assert decision.reason.startswith("it is no better than chance: 4 of 40 test tracks")
    disabled = decide(7, GUESSING, incumbent, unused, force=False)
    assert disabled.reason.startswith("promotion was disabled, and it is no better than chance")
    forced = decide(7, GUESSING, incumbent, unused, force=True)
    assert (forced.promote, forced.forced) == (True, True)
    assert forced.reason.startswith("forced, although it is no better than chance: 4 of 40")


def test_too_few_tracks_leave_the_decision_to_the_user() -> None:
    decision = decide_by_paired_test(PairedTest(3, 5, 1, 0), 3)
    assert "only 9 tracks remain that neither was trained on, but at least 50 are needed" in decision.reason
    assert "5 are classified correctly only by this version and 1 only by the champion, version 3" in decision.reason
    assert decision_notes(decision, 7) == [
        "A data set with more tracks has more test tracks; with this one, the decision is yours",
        "To make it the champion anyway, run `raygenre promote 7 --force --reason WHY`",
    ]


@pytest.mark.parametrize("error", [RegistryError("damaged"), ValueError("damaged"), OSError("damaged")])
def test_a_failed_comparison_does_not_promote(error: Exception) -> None:
    def fail(incumbent: int) -> PairedTest:
        raise error

    decision = decide(7, facts(), Incumbent(3, facts(), has_alias=True), fail)
    assert not decision.promote
    assert decision.reason == "it cannot be compared with the champion, version 3: damaged"


def test_force_keeps_the_comparison_that_was_lost() -> None:
    lost = PairedTest(60, 5, 20, 20)
    decision = decide(7, facts(), Incumbent(3, facts(), has_alias=True), lambda incumbent: lost, force=True)
    assert (decision.promote, decision.forced, decision.comparison) == (True, True, lost)
    assert decision.reason.startswith("forced, although it is not better")
