"""The tables that commands print for evaluations, paired tests, promotions and robustness."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table

from raygenre.cli.console import styled
from raygenre.evaluation.tables import accuracy_text, certainty_text
from raygenre.registry.decision import decision_notes, decision_text
from raygenre.system.printable import printable

if TYPE_CHECKING:
    from raygenre.evaluation.evaluate import Side
    from raygenre.evaluation.metrics import Evaluation
    from raygenre.evaluation.paired_test import PairedTest
    from raygenre.registry.decision import PromotionDecision
    from raygenre.workflows.robustness import Summary

_BAR = 20  # width of the bar for a recall of 100 %, in characters


def recall_table(evaluation: "Evaluation", side: "Side" = "test") -> Group:
    """Return the accuracy with its confidence interval, and the recall of each genre."""
    table = Table(box=None, padding=(0, 1), show_header=False)
    table.add_column(justify="right")
    for genre, recall in evaluation.recall.items():
        share = "no tracks" if math.isnan(recall) else f"{recall:.0%}"
        table.add_row(printable(genre), "█" * round(_BAR * (0 if math.isnan(recall) else recall)), share)
    title = styled(accuracy_text(evaluation, side), "bold")
    return Group(title, certainty_text(evaluation), "Recall by genre:", table)


def slice_table(slices: "Sequence[tuple[str, Evaluation]]", uniform: Sequence[tuple[str, bool]] = ()) -> Table:
    """Return a table of the metrics of each slice, including slices that contain all tracks or none."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("slice")
    for column in ("tracks", "accuracy", "95 % interval", "macro F1"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, part in slices:
        low, high = part.interval
        table.add_row(
            name, str(part.tracks), f"{part.accuracy:.1%}", f"{low:.1%} to {high:.1%}", f"{part.macro_f1:.3f}"
        )
    for name, every in uniform:
        table.add_row(name, "all" if every else "none", "", "", "")
    return table


def contingency_table(test: "PairedTest", first: str, second: str) -> Table:
    """Return the 2 × 2 table of a paired test's counts; `first` names the candidate, `second` the incumbent."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for column in ("tracks", f"{second} correct", f"{second} wrong"):
        table.add_column(column, justify="right")
    table.add_row(f"{first} correct", str(test.both), str(test.only_candidate))
    table.add_row(f"{first} wrong", str(test.only_incumbent), str(test.neither))
    return table


def decision_table(decision: "PromotionDecision", version: int) -> Group:
    """Return the decision about a version, with the table of the paired test if that test determined the decision."""
    parts: list[RenderableType] = [styled(decision_text(decision, version), "bold")]
    if test := decision.decisive_test:
        parts.append(contingency_table(test, f"version {version}", f"version {decision.incumbent}"))
    return Group(*parts, *decision_notes(decision, version))


def robustness_table(summaries: "Iterable[Summary]", *, title: str) -> Table:
    """Return a table of how each change affects the levels and the predicted genre."""
    table = Table("change", title=title)
    for column in ("mean difference", "95th percentile", "same genre"):
        table.add_column(column, justify="right")
    for row in summaries:
        same = f"{row.same} of {row.clips} ({row.same / row.clips:.0%})"
        table.add_row(row.change, f"{row.mean:.2f}", f"{row.most}", same)
    return table
