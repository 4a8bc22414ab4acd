"""The rule of the champion: which version replaces it, and why, as a person reads it."""

from dataclasses import dataclass

from rich.console import Group
from rich.table import Table
from rich.text import Text

from raygenre.evaluation.paired_test import LEAST_TRACKS, SIGNIFICANT, PairedTest, contingency_table, difference_text
from raygenre.evaluation.version_facts import VersionFacts


@dataclass(frozen=True)
class PromotionDecision:
    """Whether a version may become the champion, and why.

    Attributes:
        incumbent: the champion's version that it was decided against; None if there was none.
        comparison: the two on the same tracks, if they were compared.
        forced: it is as somebody wanted it, and not as the evidence has it.
        unsaid: why the search's run does not say so; empty if it does.
    """

    promote: bool
    reason: str
    incumbent: int | None = None
    comparison: PairedTest | None = None
    forced: bool = False
    note_error: str = ""


def by_kind(candidate: VersionFacts, champion: VersionFacts, incumbent: int) -> PromotionDecision | None:
    """Decide where one of the two knows synthetic tracks alone; None if the two are to be compared."""
    if champion.synthetic and not candidate.synthetic:
        return PromotionDecision(True, f"the champion, version {incumbent}, was trained on synthetic tracks", incumbent)
    if candidate.synthetic and not champion.synthetic:
        return PromotionDecision(
            False, f"it was trained on synthetic tracks, the champion, version {incumbent}, on real ones", incumbent
        )
    return None


def by_comparison(comparison: PairedTest, incumbent: int) -> PromotionDecision:
    """Decide by the answers of both to the same tracks: the candidate must be better beyond chance."""
    found = comparison
    counts = (
        f"of {found.tracks} tracks that neither was trained on {found.candidate} are right with it alone and "
        f"{found.incumbent} with the champion alone, version {incumbent}"
    )
    if found.tracks < LEAST_TRACKS:
        few = f"only {found.tracks} tracks are left that neither was trained on, and {LEAST_TRACKS} are needed"
        return PromotionDecision(False, few, incumbent, found)
    if found.p_value < SIGNIFICANT:
        return PromotionDecision(True, f"it is better: {counts} (p = {found.p_value:.2g})", incumbent, found)
    outcome = "it is not better" if found.difference <= 0 else "it may be better by chance"
    return PromotionDecision(False, f"{outcome}: {counts} (p = {found.p_value:.2g})", incumbent, found)


def decision_text(decision: PromotionDecision, version: int) -> Group:
    """Return what was decided, with the two classifiers' answers to the same tracks if they were compared."""
    head = f"Model raygenre version {version} {'is' if decision.promote else 'is not'} the champion: {decision.reason}"
    parts: list[Text | Table] = [Text(head, style="bold")]
    if decision.comparison and decision.comparison.tracks >= LEAST_TRACKS:
        names = (f"version {version}", f"version {decision.incumbent}")
        parts += [contingency_table(decision.comparison, *names), Text(difference_text(decision.comparison, *names))]
        parts.append(Text(f"p = {decision.comparison.p_value:.2g}; a champion is replaced below {SIGNIFICANT}"))
    if decision.note_error:
        parts.append(Text(f"The version's tags say so; the run of its search does not: {decision.note_error}"))
    if not decision.promote:
        parts.append(Text(f"`raygenre promote {version} --force` makes it the champion all the same"))
    return Group(*parts)
