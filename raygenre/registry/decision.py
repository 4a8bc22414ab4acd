"""The rule of the champion: which version replaces it, and why, as a person reads it."""

from dataclasses import dataclass

from rich.console import Group
from rich.table import Table
from rich.text import Text

from raygenre.evaluation.paired_test import LEAST_TRACKS, SIGNIFICANT, Comparison, answers, difference
from raygenre.evaluation.version_facts import Evidence


@dataclass(frozen=True)
class Decision:
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
    comparison: Comparison | None = None
    forced: bool = False
    unsaid: str = ""


def by_kind(candidate: Evidence, champion: Evidence, incumbent: int) -> Decision | None:
    """Decide where one of the two knows synthetic tracks alone; None if the two are to be compared."""
    if champion.synthetic and not candidate.synthetic:
        return Decision(True, f"the champion, version {incumbent}, was trained on synthetic tracks", incumbent)
    if candidate.synthetic and not champion.synthetic:
        return Decision(
            False, f"it was trained on synthetic tracks, the champion, version {incumbent}, on real ones", incumbent
        )
    return None


def by_comparison(comparison: Comparison, incumbent: int) -> Decision:
    """Decide by the answers of both to the same tracks: the candidate must be better beyond chance."""
    found = comparison
    counts = (
        f"of {found.tracks} tracks that neither was trained on {found.candidate} are right with it alone and "
        f"{found.incumbent} with the champion alone, version {incumbent}"
    )
    if found.tracks < LEAST_TRACKS:
        few = f"only {found.tracks} tracks are left that neither was trained on, and {LEAST_TRACKS} are needed"
        return Decision(False, few, incumbent, found)
    if found.p_value < SIGNIFICANT:
        return Decision(True, f"it is better: {counts} (p = {found.p_value:.2g})", incumbent, found)
    verdict = "it is not better" if found.difference <= 0 else "it may be better by chance"
    return Decision(False, f"{verdict}: {counts} (p = {found.p_value:.2g})", incumbent, found)


def verdict(decision: Decision, version: int) -> Group:
    """Return what was decided, with the two classifiers' answers to the same tracks if they were compared."""
    head = f"Model raygenre version {version} {'is' if decision.promote else 'is not'} the champion: {decision.reason}"
    parts: list[Text | Table] = [Text(head, style="bold")]
    if decision.comparison and decision.comparison.tracks >= LEAST_TRACKS:
        names = (f"version {version}", f"version {decision.incumbent}")
        parts += [answers(decision.comparison, *names), Text(difference(decision.comparison, *names))]
        parts.append(Text(f"p = {decision.comparison.p_value:.2g}; a champion is replaced below {SIGNIFICANT}"))
    if decision.unsaid:
        parts.append(Text(f"The version's tags say so; the run of its search does not: {decision.unsaid}"))
    if not decision.promote:
        parts.append(Text(f"`raygenre promote {version} --force` makes it the champion all the same"))
    return Group(*parts)
