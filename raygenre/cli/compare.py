"""`raygenre compare`: runs and versions beside each other."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from raygenre.cli.console import asking, fail, out

if TYPE_CHECKING:
    from raygenre.workflows.compare import Match, Subject


def compare(
    runs: Annotated[
        list[str], typer.Argument(help="MLflow's run ids, versions (models:/raygenre/3) or studies, two or more.")
    ],
    data: Annotated[
        Path | None, typer.Option(help="Folder of the test tracks; by default the first version's data.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write a page to this .html file.")] = None,
    storage: Annotated[str | None, typer.Option(help="./results by default.")] = None,
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow server instead of the embedded SQLite.")] = None,
) -> None:
    """Set runs beside each other: settings, values in the end, learning curves, and answers to the same tracks.

    A study stands for its winner's training on all training tracks. The page has the curves as pictures and asks
    nothing of any server.
    """
    from raygenre.registry.versions import RegistryError
    from raygenre.system.atomic_write import write_atomically
    from raygenre.system.storage import resolve
    from raygenre.workflows import compare as comparing
    from raygenre.workflows import compare_page

    if len(runs) < 2:
        fail("name two runs or more")
    if output and output.suffix.lower() not in (".html", ".htm"):
        fail(f"{output} is to be a page; give it the suffix .html")
    try:
        where = resolve(storage, tracking_uri)
        with asking(where):
            subjects = [comparing.subject(where, run) for run in runs]
            matches = comparing.matches(where, subjects, data)
    except (RegistryError, ValueError, OSError) as error:
        fail(str(error))
    _print(subjects, matches)
    if output:
        try:
            write_atomically(output, compare_page.page(subjects, matches).encode())
        except OSError as error:
            fail(f"{output} cannot be written: {error.strerror}")
        out.print(f"{output}: the same with curves", highlight=False, soft_wrap=True, markup=False)


def _print(subjects: "Sequence[Subject]", matches: "Sequence[Match]") -> None:
    from raygenre.workflows.compare import differing, shared, unmatched
    from raygenre.workflows.compare_page import number, setting

    differ, same = differing(subjects)
    names = [one.name for one in subjects]
    settings = _table("setting", names)
    for name in differ:
        settings.add_row(name, *(escape(setting(one, name)) for one in subjects))
    values = _table("in the end", names)
    for name in shared(one.values for one in subjects):
        values.add_row(name, *(number(one.values.get(name)) for one in subjects))
    curves = _table("curve, first to last", names)
    for name in shared(one.curves for one in subjects):
        curves.add_row(name, *(_course(one, name) for one in subjects))
    for table in (settings, values, curves):
        if table.row_count:
            out.print(table)
            out.print()
    out.print(f"{len(same)} settings are the same", highlight=False)
    if why := unmatched(subjects):
        out.print(why, highlight=False, soft_wrap=True, markup=False)
    for match in matches:
        _print_match(match)


def _table(title: str, names: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(title, no_wrap=True)
    for name in names:
        table.add_column(escape(name), overflow="fold", justify="right")
    return table


def _course(one: "Subject", name: str) -> str:
    from raygenre.workflows.compare_page import number

    points = one.curves.get(name)
    return f"{number(points[0][1])} → {number(points[-1][1])}" if points else "–"


def _print_match(match: "Match") -> None:
    from raygenre.evaluation.paired_test import contingency_table, paired_test_text

    out.print()
    if (found := match.comparison) is None:
        text = f"{match.first} and {match.second} were not compared on the same tracks: {match.note}"
        out.print(text, highlight=False, soft_wrap=True, markup=False)
        return
    out.print(contingency_table(found, match.first, match.second))
    words = paired_test_text(found, match.first, match.second)
    out.print(f"On test tracks that taught neither, {words}", highlight=False, markup=False)
