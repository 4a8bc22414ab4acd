"""`raygenre evaluate`: measure how good a model is on a data set, and show its mistakes."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from raygenre.cli.checks import check_data, check_output, check_readable
from raygenre.cli.console import bar, err, fail, out, print_error, print_left_out, print_warning, write_file
from raygenre.cli.options import ModelOption, StorageOption, TrackingUriOption, VerboseOption
from raygenre.errors import file_errors
from raygenre.system.printable import printable

if TYPE_CHECKING:
    from raygenre.data.dataset import Dataset
    from raygenre.evaluation.evaluate import EvaluationReport
    from raygenre.evaluation.slices import TrackFacts
    from raygenre.registry.versions import Fetched
    from raygenre.system.storage import Storage
    from raygenre.tracking.server import Server


def evaluate(
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of <class>/ folders, or Kaggle's GTZAN (default: $RAYGENRE_DATA)."),
    ] = None,
    split: Annotated[
        Literal["test", "train", "all"], typer.Option(help="The model's own test or training tracks, or all tracks.")
    ] = "test",
    model: ModelOption = "",
    output: Annotated[Path, typer.Option("-o", "--output", help="HTML file of the report.")] = Path("report.html"),
    as_json: Annotated[bool, typer.Option("--json", help="Print all numbers as JSON.")] = False,
    duplicates: Annotated[Path | None, typer.Option(help="File that lists tracks of the same recording.")] = None,
    artists: Annotated[Path | None, typer.Option(help="CSV file with a line track,artist per track.")] = None,
    genre_map: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="FROM=TO", help="Folder FROM holds the model's genre TO; repeatable."),
    ] = None,
    faults: Annotated[Path | None, typer.Option(help="File that lists damaged or mislabelled tracks.")] = None,
    log: Annotated[bool, typer.Option(help="Log the evaluation to MLflow.")] = True,
    verbose: VerboseOption = False,
    storage_folder: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
) -> None:
    """Measure how good a model is on labelled tracks, and show its mistakes.

    By default, these are the model's own test tracks, which were not used to train or select it. The report is a single
    HTML file, which is also the model card. The options, numbers, figures and report are logged to a new MLflow run.
    Exits with 1 if logging fails.

    Genres are matched by name, regardless of case, spaces, hyphens and underscores; use --map for all others.
    """
    from raygenre.evaluation.genre_names import parse_map
    from raygenre.registry.versions import CHAMPION_URI, fetch
    from raygenre.system.storage import resolve
    from raygenre.tracking.server import Server

    source = data or (Path(os.environ["RAYGENRE_DATA"]) if os.environ.get("RAYGENRE_DATA") else None)
    check_data(source)
    for path in (duplicates, artists, faults):
        check_readable(path, "a track list cannot be read")
    check_output(output)
    mapped = parse_map(genre_map or [])
    server = Server(resolve(storage_folder, tracking_uri))
    fetched = fetch(server, model or CHAMPION_URI)

    from raygenre.cli.tables import recall_table, slice_table  # imported here, because these modules load torch
    from raygenre.evaluation.evaluate import evaluate_classifier
    from raygenre.evaluation.html_report import report_page
    from raygenre.evaluation.tables import report_fields

    if source is None and not fetched.classifier.origin.get("synthetic"):
        fail(f"{fetched.name} was trained on real tracks; pass the folder of tracks to evaluate it on with --data PATH")
    tracks = _load(source, server.storage, verbose=verbose)
    track_lists = _track_lists(duplicates, artists, faults)
    with bar() as progress:
        task = progress.add_task("computing features", total=None, visible=False)
        report = evaluate_classifier(
            fetched.classifier,
            tracks,
            split,
            track_lists,
            genre_map=mapped,
            progress=lambda done, total: progress.update(task, completed=done, total=total, visible=True),
        )
    for warning in report.warnings:
        print_warning(warning)
    page = report_page(report, name=fetched.name, facts=fetched.facts)
    write_file(output, page.encode())
    given = {"duplicates": duplicates, "artists": artists, "faults": faults, "map": " ".join(genre_map or [])}
    options = {"data": report.source, "split": split} | {name: str(value) for name, value in given.items() if value}
    run_id = _log(server, fetched, report, page, options) if log else ""
    if as_json:
        facts = {"model": fetched.name, "data": report.source, "data_digest": report.digest, "split": split}
        record = facts | {"run_id": run_id, "report": str(output)} | report_fields(report)
        out.file.write(json.dumps(record, indent=1, allow_nan=False) + "\n")
    else:
        out.print(recall_table(report.evaluation, report.side), highlight=False)
        if report.slices or report.uniform:
            out.print(slice_table(report.slices, report.uniform), highlight=False)
        out.print(f"Report: {printable(output)}", highlight=False, soft_wrap=True, markup=False)
    if log and not run_id:
        raise typer.Exit(1)


def _load(source: Path | None, storage: "Storage", *, verbose: bool) -> "Dataset":
    """Load the tracks, and print which files were left out."""
    from raygenre.data import dataset
    from raygenre.data.broken_files import skipped, summary

    with bar() as progress, file_errors("the tracks could not be loaded"):
        task = progress.add_task("loading tracks", total=None)
        tracks = dataset.load(
            source,
            cache=storage.cache,
            allow_broken=True,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    print_left_out(tracks.notes, [(file.path, file.reason) for file in tracks.left_out] if verbose else [])
    if tracks.broken:
        lines = f"{skipped(tracks.broken)}:\n{summary(tracks.broken)}"
        err.print(lines, highlight=False, soft_wrap=True, markup=False)
    return tracks


def _track_lists(duplicates: Path | None, artists: Path | None, faults: Path | None) -> "TrackFacts":
    from raygenre.data.duplicates import read_duplicates
    from raygenre.evaluation.slices import TrackFacts, read_artists, read_tracks

    with file_errors("a track list cannot be read"):
        return TrackFacts(
            duplicates=read_duplicates(duplicates) if duplicates else None,
            artists=read_artists(artists) if artists else None,
            faults=read_tracks(faults) if faults else None,
        )


def _log(server: "Server", fetched: "Fetched", report: "EvaluationReport", page: str, options: dict[str, str]) -> str:
    """Log the evaluation to MLflow, and return the run id, or "" if logging failed."""
    from raygenre.registry import evaluation_log
    from raygenre.tracking.server_errors import TrackingError, reason

    try:
        return evaluation_log.log_evaluation(server, fetched, report, page, options=options)
    except (TrackingError, OSError) as error:
        print_error(f"nothing was logged to MLflow at {server.address}: {reason(error)} (--no-log skips this)")
        return ""
