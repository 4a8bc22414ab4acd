"""Why a version is the champion or is not, as a person reads it."""

from rich.console import Group
from rich.table import Table
from rich.text import Text

from raygenre.evaluation.paired_test import LEAST_TRACKS, SIGNIFICANT, answers, difference
from raygenre.evaluation.version_facts import Decision


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
