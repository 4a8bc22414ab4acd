"""Why a version is the champion or is not, as a person reads it."""

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from raygenre.comparison import Comparison
from raygenre.evidence import LEAST_TRACKS, SIGNIFICANT, Decision


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


def answers(comparison: Comparison, first: str, second: str) -> Table:
    """Return the tracks by who named them rightly; `first` stands in the candidate's place."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    first, second = escape(first), escape(second)
    for column in ("tracks", f"{second} right", f"{second} wrong"):
        table.add_column(column, justify="right")
    table.add_row(f"{first} right", str(comparison.both), str(comparison.candidate))
    table.add_row(f"{first} wrong", str(comparison.incumbent), str(comparison.neither))
    return table


def difference(comparison: Comparison, first: str, second: str) -> str:
    """Say how far apart the two are."""
    low, high = comparison.interval
    return (
        f"{first} is right on {comparison.candidate_accuracy:.1%} of these {comparison.tracks} tracks, {second} on "
        f"{comparison.incumbent_accuracy:.1%}: {100 * comparison.difference:+.1f} points "
        f"(95 % interval {100 * low:+.1f} to {100 * high:+.1f})"
    )


def duel(comparison: Comparison, first: str, second: str) -> str:
    """Say how far apart two are of which neither is the champion, and whether that is chance."""
    p_value = comparison.two_sided_p_value
    verdict = "beyond chance" if p_value < SIGNIFICANT else "which may be chance"
    return f"{difference(comparison, first, second)}, {verdict} (exact McNemar test, two-sided: p = {p_value:.2g})"
