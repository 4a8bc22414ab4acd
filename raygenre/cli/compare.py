"""`raygenre compare`: compare runs and registered versions."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from raygenre.cli.checks import check_data, check_output, require_runs
from raygenre.cli.console import fail, mlflow_errors, out, write_file
from raygenre.cli.options import StorageOption, TrackingUriOption

if TYPE_CHECKING:
    from raygenre.registry.run_summary import RunSummary
    from raygenre.workflows.compare import PairResult


def compare(
    runs: Annotated[
        list[str], typer.Argument(help="Two or more MLflow run ids, versions (models:/raygenre/3) or studies.")
    ],
    data: Annotated[
        Path | None, typer.Option(help="Folder of the test tracks (default: the first version's data).")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Also write an .html page.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also print all other metrics and settings, and the learning curves.")
    ] = False,
    storage_folder: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
) -> None:
    """Compare runs: the main metrics, the settings that differ, and predictions for the same tracks.

    For a study, the final training run of its winner on all training tracks is compared; evaluations are compared by
    their run ids. The page always has all metrics and settings, and plots the learning curves; it is a single file and
    loads nothing from the network.
    """
    from raygenre.system.storage import resolve

    if len(runs) < 2:
        fail("compare needs at least two runs")
    if output and output.suffix.lower() not in (".html", ".htm"):
        fail(f"--output writes an HTML page: {output} must end in .html")
    check_data(data)
    check_output(output)
    storage = resolve(storage_folder, tracking_uri)
    require_runs(storage)

    from raygenre.tracking.server import Server
    from raygenre.workflows.compare import compare_pairs, find_run  # imported here, because these modules load MLflow
    from raygenre.workflows.compare_page import comparison_page

    server = Server(storage)
    with mlflow_errors(storage):
        summaries = [find_run(server, run) for run in runs]
        pairs = compare_pairs(server, summaries, data)
    _print(summaries, pairs, everything=everything)
    if output:
        write_file(output, comparison_page(summaries, pairs).encode())
        out.print(f"Page with learning curves: {output}", highlight=False, soft_wrap=True, markup=False)


def _print(runs: "Sequence[RunSummary]", pairs: "Sequence[PairResult]", *, everything: bool) -> None:
    from raygenre.workflows.compare import all_names, split_metrics, split_settings, unpaired_reason
    from raygenre.workflows.compare_page import metric_text, setting_text

    (main, other), (differing, same) = split_metrics(runs), split_settings(runs)
    shared = [name for name in differing if all(name in run.settings for run in runs)]
    versions = [name for name in differing if name.startswith("version.")]
    curves = all_names(run.curves for run in runs)
    hidden = {"metrics": len(other), "learning curves": len(curves), "package versions": len(versions)}
    hidden["settings missing from some of the runs"] = len({*differing} - {*shared, *versions})
    if everything:
        main, hidden = main + other, {}
    else:
        differing, curves = [name for name in shared if name not in versions], []
    rows = (
        ("final metric", [(name, [metric_text(run.values.get(name)) for run in runs]) for name in main]),
        ("setting", [(name, [setting_text(run, name) for run in runs]) for name in differing]),
        ("curve, first to last", [(name, [_first_and_last(run, name) for run in runs]) for name in curves]),
    )
    for title, cells in rows:
        table = _table(title, [run.name for run in runs])
        for name, texts in cells:
            table.add_row(name, *texts)
        if table.row_count:
            out.print(table)
            out.print()
    out.print(f"{len(same)} settings are the same", highlight=False)
    if more := ", ".join(f"{what} ({count})" for what, count in hidden.items() if count):
        out.print(f"Not shown without --all: {more}", highlight=False, soft_wrap=True)
    if reason := unpaired_reason(runs):
        out.print(reason, highlight=False, soft_wrap=True, markup=False)
    for pair in pairs:
        _print_pair(pair)


def _table(title: str, names: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(title, no_wrap=True)
    for name in names:
        table.add_column(name, overflow="fold", justify="right")
    return table


def _first_and_last(run: "RunSummary", metric: str) -> str:
    from raygenre.workflows.compare_page import metric_text

    points = run.curves.get(metric)
    return f"{metric_text(points[0][1])} → {metric_text(points[-1][1])}" if points else "–"


def _print_pair(pair: "PairResult") -> None:
    from raygenre.cli.tables import contingency_table
    from raygenre.evaluation.paired_test import paired_test_text
    from raygenre.registry.decision import MAX_P_VALUE

    out.print()
    if pair.comparison is None:
        text = f"{pair.first} and {pair.second} were not compared on the same tracks: {pair.note}"
        out.print(text, highlight=False, soft_wrap=True, markup=False)
        return
    out.print(contingency_table(pair.comparison, pair.first, pair.second))
    text = paired_test_text(pair.comparison, pair.first, pair.second, alpha=MAX_P_VALUE)
    out.print(f"On test tracks that neither was trained on, {text}", highlight=False, markup=False)
