"""The rule that determines which version is the champion: thresholds and wording.

The first rule that applies determines the outcome:

1. The version is already the champion: it remains the champion.
2. Promotion is disabled (`force=False`): the version is not promoted.
3. The version is no better than chance on its validation tracks or its test tracks (`chance`): it is not promoted.
4. There is no champion yet: the version is promoted.
5. The registry has no record of how the version or the champion was trained and tested: the version is not promoted.
6. One of the two was trained on synthetic tracks and the other on real tracks: the model trained on real tracks becomes
   or remains the champion.
7. Otherwise, the two are compared on the version's test tracks, excluding those that the champion was trained on. The
   version is promoted if at least `MIN_TRACKS` tracks are left and the one-sided exact McNemar test yields
   p < `MAX_P_VALUE`. If the two cannot be compared, the version is not promoted.

`force=True` promotes the version even if rules 3 and 5 to 7 would not. A data set of fewer than about 250 tracks has
fewer than `MIN_TRACKS` test tracks. With such a data set, only a user can replace a champion, and the user's name is
recorded with the decision.
"""

from collections.abc import Callable
from dataclasses import dataclass

from raygenre.evaluation.paired_test import PairedTest, difference_text
from raygenre.evaluation.version_facts import VersionFacts
from raygenre.registry.champion import Incumbent
from raygenre.registry.versions import RegistryError

MIN_TRACKS = 50
"""Minimum number of tracks for a comparison; on fewer tracks, hardly any two classifiers differ significantly."""

MAX_P_VALUE = 0.05
"""The candidate replaces the champion only if the p-value is below this value."""


@dataclass(frozen=True)
class PromotionDecision:
    """Whether a version becomes the champion, and why.

    Attributes:
        reason: the reason, as a clause that follows "version N is the champion:" or "version N is not the champion:".
        incumbent: version number of the champion that the version was compared with; None if there was none.
        comparison: paired test of the version and that champion, if they were compared.
        forced: whether the user overrode the rule.
        note_error: why the decision could not be recorded in the search's run; empty if it was recorded.
    """

    promote: bool
    reason: str
    incumbent: int | None = None
    comparison: PairedTest | None = None
    forced: bool = False
    note_error: str = ""

    @property
    def decisive_test(self) -> PairedTest | None:
        """The paired test if it has enough tracks for a decision, otherwise None."""
        return self.comparison if self.comparison and self.comparison.tracks >= MIN_TRACKS else None


def decide(
    version: int,
    facts: VersionFacts | None,
    incumbent: Incumbent | None,
    compare: Callable[[int], PairedTest],
    *,
    force: bool | None = None,
) -> PromotionDecision:
    """Apply the rule to a registered version.

    Args:
        facts: facts recorded about the version in the registry; None for a version registered by hand.
        incumbent: the champion; if its version was deleted, the champion before it.
        compare: function that takes the incumbent's version number and runs the paired test; called only if rule 7
            applies. It raises RegistryError, ValueError or OSError if the two cannot be compared; any other exception
            propagates.
        force: True always promotes the version, False never does, and None applies the rule.
    """
    if incumbent and incumbent.version == version:
        reason = "it is already the champion" if incumbent.has_alias else "it replaces a champion that was deleted"
        return PromotionDecision(True, reason, version)
    champion = incumbent.version if incumbent else None
    failed = facts.failed_chance_test if facts else None
    chance = f"it is {failed.text}" if failed else ""
    if force is False:
        reason = f"promotion was disabled, and {chance}" if chance else "promotion was disabled"
        return PromotionDecision(False, reason, champion, forced=True)
    if chance and not force:
        return PromotionDecision(False, chance, champion)
    first = PromotionDecision(True, "there was no champion")
    decision = _decide_against(facts, incumbent, compare) if incumbent else first
    if force and (chance or not decision.promote):
        obstacle = chance or decision.reason
        return PromotionDecision(True, f"forced, although {obstacle}", champion, decision.comparison, forced=True)
    return decision


def decide_by_training_data(
    candidate: VersionFacts, champion: VersionFacts, incumbent: int
) -> PromotionDecision | None:
    """Apply rule 6; return None if both were trained on the same kind of tracks."""
    if champion.synthetic and not candidate.synthetic:
        return PromotionDecision(True, f"the champion, version {incumbent}, was trained on synthetic tracks", incumbent)
    if candidate.synthetic and not champion.synthetic:
        reason = f"it was trained on synthetic tracks and the champion, version {incumbent}, on real tracks"
        return PromotionDecision(False, reason, incumbent)
    return None


def decide_by_paired_test(test: PairedTest, incumbent: int) -> PromotionDecision:
    """Apply rule 7 to the result of the comparison."""
    each = (
        f"{test.only_candidate} are classified correctly only by this version and {test.only_incumbent} only by the "
        f"champion, version {incumbent} (p = {test.p_value:.2g})"
    )
    if test.tracks < MIN_TRACKS:
        reason = (
            f"only {test.tracks} tracks remain that neither was trained on, but at least {MIN_TRACKS} are needed for "
            f"a comparison; of these, {each}"
        )
        return PromotionDecision(False, reason, incumbent, test)
    counts = f"of {test.tracks} tracks that neither was trained on, {each}"
    if test.p_value < MAX_P_VALUE:
        return PromotionDecision(True, f"it is better: {counts}", incumbent, test)
    outcome = "it is not better" if test.difference <= 0 else "it may be better only by chance"
    return PromotionDecision(False, f"{outcome}: {counts}", incumbent, test)


def decision_text(decision: PromotionDecision, version: int) -> str:
    """Return the decision with its reason as a sentence."""
    return f"Model raygenre version {version} {'is' if decision.promote else 'is not'} the champion: {decision.reason}"


def decision_notes(decision: PromotionDecision, version: int) -> list[str]:
    """Return notes on a decision: the paired test, any failure to record the decision, and how to override it."""
    notes = []
    if test := decision.decisive_test:
        notes.append(difference_text(test, f"version {version}", f"version {decision.incumbent}"))
        notes.append(f"p = {test.p_value:.2g}; the champion is replaced only if p < {MAX_P_VALUE}")
    if decision.note_error:
        note = "The decision is recorded with the version, but could not be recorded in its search's run: "
        notes.append(note + decision.note_error)
    if not decision.promote:
        if decision.comparison and not decision.decisive_test:
            notes.append("A data set with more tracks has more test tracks; with this one, the decision is yours")
        notes.append(f"To make it the champion anyway, run `raygenre promote {version} --force --reason WHY`")
    return notes


def _decide_against(
    facts: VersionFacts | None, incumbent: Incumbent, compare: Callable[[int], PairedTest]
) -> PromotionDecision:
    """Apply rules 5 to 7."""
    champion = f"the champion, version {incumbent.version}"
    if facts is None or incumbent.facts is None:
        which = "this version" if facts is None else champion
        reason = f"the registry has no record of how {which} was trained and tested"
        return PromotionDecision(False, reason, incumbent.version)
    if decision := decide_by_training_data(facts, incumbent.facts, incumbent.version):
        return decision
    try:
        test = compare(incumbent.version)
    except (RegistryError, ValueError, OSError) as error:
        return PromotionDecision(False, f"it cannot be compared with {champion}: {error}", incumbent.version)
    return decide_by_paired_test(test, incumbent.version)
