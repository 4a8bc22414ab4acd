"""Prints what `raygenre tag` does or would do with each song, and what it has undone."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from raygenre.cli.console import out, styled

if TYPE_CHECKING:
    from raygenre.tagging.plan import Action, Plan
    from raygenre.tagging.undo import Outcome, Undone

_NOT_KNOWN = "–"
_WIDTHS = {"present": 12, "predicted": 12, "confidence": 10}
"""Maximum width of each column in characters; the file's name uses the remaining width."""
_WIDTH_OF_ACTION = 10


def print_plans(plans: "Sequence[Plan]", root: Path, *, written: bool) -> None:
    """Print a table of the songs and a line with the number of songs per action; failures are printed elsewhere."""
    from raygenre.workflows.sources import relative_name

    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="bold")
    table.add_column("file", overflow="fold")
    for column, width in _WIDTHS.items():
        table.add_column(column, max_width=width, no_wrap=column == "confidence", overflow="fold")
    table.add_column("done" if written else "to do", max_width=_WIDTH_OF_ACTION, overflow="fold")
    for plan in plans:
        if plan.action == "fail":
            continue
        table.add_row(
            relative_name(plan.path, root),
            _names(plan.present),
            _names(plan.genres),
            _confidence(plan),
            _action(plan, written=written),
        )
    if table.row_count:
        out.print(table)
    out.print(_summary(plans, written=written), soft_wrap=True)


def undo_text(results: "Sequence[Undone]") -> str:
    """Return a line that states how many of a log's files were restored."""
    counts = Counter(result.outcome for result in results)
    labels: dict[Outcome, str] = {
        "restored": "restored completely",
        "frames": "restored, keeping later changes to other tags",
        "unchanged": "unchanged",
        "left": "left",
    }
    parts = [f"{counts[outcome]} {label}" for outcome, label in labels.items() if counts[outcome]]
    return _line(len(results), parts)


def _summary(plans: "Sequence[Plan]", *, written: bool) -> str:
    counts = Counter(plan.action for plan in plans)
    labels: dict[Action, str] = {
        "write": "written" if written else "to write",
        "keep": "kept",
        "same": "already with this genre",
        "uncertain": "uncertain",
        "fail": "failed",
    }
    parts = [f"{counts[action]} {label}" for action, label in labels.items() if counts[action]]
    return _line(len(plans), parts)


def _line(songs: int, parts: Sequence[str]) -> str:
    return f"{songs} song{'s' * (songs != 1)}: {', '.join(parts)}" if parts else "no songs"


def _action(plan: "Plan", *, written: bool) -> Text | str:
    if plan.action != "write":
        return plan.reason
    if plan.present == plan.genres:  # only the provenance differs
        return styled("provenance", "green")
    if plan.present:
        return styled("replaced" if written else "replace", "green")
    return styled("written" if written else "write", "green")


def _confidence(plan: "Plan") -> str:
    if plan.confidence is None:
        return _NOT_KNOWN
    from raygenre.workflows.timeline import percent  # imported here because it loads torch

    return percent(plan.confidence)


def _names(genres: Sequence[str]) -> str:
    return "; ".join(genres) or _NOT_KNOWN
