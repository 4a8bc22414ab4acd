"""`raygenre evaluate`: how good a model is on a data set, and what it gets wrong."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape

from raygenre.cli.console import bar, err, fail, out

if TYPE_CHECKING:
    from raygenre.evaluation.evaluate import EvaluationReport
    from raygenre.evaluation.slices import Known
    from raygenre.registry.versions import Fetched
    from raygenre.system.storage import Storage


def evaluate(
    data: Annotated[
        Path | None, typer.Option(help="Folder of <class>/ folders, or Kaggle's GTZAN; $RAYGENRE_DATA by default.")
    ] = None,
    split: Annotated[
        Literal["test", "train", "all"], typer.Option(help="The model's own test or training tracks, or all tracks.")
    ] = "test",
    model: Annotated[str, typer.Option(help="models:/NAME@ALIAS, models:/NAME/VERSION or a classifier's folder.")] = "",
    output: Annotated[Path, typer.Option("-o", "--output", help="The report, one HTML file.")] = Path("report.html"),
    as_json: Annotated[bool, typer.Option("--json", help="Print all numbers as JSON.")] = False,
    duplicates: Annotated[Path | None, typer.Option(help="File of tracks that are the same recording.")] = None,
    artists: Annotated[Path | None, typer.Option(help="CSV of track,artist.")] = None,
    faults: Annotated[Path | None, typer.Option(help="File of tracks that are damaged or mislabelled.")] = None,
    log: Annotated[bool, typer.Option(help="Log to MLflow.")] = True,
    storage: Annotated[str | None, typer.Option(help="./results by default.")] = None,
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow server instead of the embedded SQLite.")] = None,
) -> None:
    """Say how good a model is on tracks whose genre is known, and what it gets wrong.

    By default these are the tracks that the model was tested on: those that it has neither learned from nor been
    chosen by. The report is one HTML file, and is the model card too. The numbers, the figures and the report go into
    the model's run in MLflow, or into a run of their own for other tracks than its test tracks.
    """
    from raygenre.data import dataset
    from raygenre.data.track_files import DataError
    from raygenre.evaluation import html_report, tables
    from raygenre.evaluation.evaluate import EvaluationError, evaluate_classifier
    from raygenre.registry import versions
    from raygenre.system.atomic_write import write_atomically
    from raygenre.system.storage import resolve

    try:
        where = resolve(storage, tracking_uri)
        fetched = versions.fetch(where, model or versions.CHAMPION_URI)
        usual = data or (Path(os.environ["RAYGENRE_DATA"]) if os.environ.get("RAYGENRE_DATA") else None)
        if usual is None and not fetched.classifier.origin.get("synthetic"):
            fail(f"{fetched.name} was trained on real tracks; name those to evaluate it on with --data PATH")
        with bar() as progress:
            task = progress.add_task("decoding", total=None)
            tracks = dataset.load(
                usual, cache=where.cache, progress=lambda done, all_: progress.update(task, completed=done, total=all_)
            )
        if tracks.broken:
            lines = f"{len(tracks.broken)} files were left out:\n{dataset.summary(tracks.broken)}"
            err.print(lines, highlight=False, soft_wrap=True, markup=False)
        appraisal = evaluate_classifier(fetched.classifier, tracks, split, _known(duplicates, artists, faults))
    except (versions.RegistryError, EvaluationError, DataError, ValueError, OSError) as error:
        fail(str(error))
    for warning in appraisal.warnings:
        err.print(f"[bold yellow]warning:[/bold yellow] {escape(warning)}", highlight=False, soft_wrap=True)
    page = html_report.page(appraisal, name=fetched.name, evidence=fetched.evidence)
    try:
        write_atomically(output, page.encode())
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror}")
    run_id = _log(where, fetched, appraisal, page) if log else ""
    if as_json:
        facts = {"model": fetched.name, "data": appraisal.source, "data_digest": appraisal.digest, "split": split}
        record = facts | {"run_id": run_id, "report": str(output)} | tables.record(appraisal)
        out.file.write(json.dumps(record, indent=1, allow_nan=False) + "\n")
    else:
        out.print(tables.recall_table(appraisal.evaluation, appraisal.side), highlight=False)
        if appraisal.slices or appraisal.uniform:
            out.print(tables.slice_table(appraisal.slices, appraisal.uniform), highlight=False)
        out.print(f"Report: {output}", highlight=False, soft_wrap=True, markup=False)
    if log and not run_id:
        raise typer.Exit(1)


def _known(duplicates: Path | None, artists: Path | None, faults: Path | None) -> "Known":
    from raygenre.data.duplicates import read_duplicates
    from raygenre.evaluation.slices import Known, read_artists, read_tracks

    return Known(
        duplicates=read_duplicates(duplicates) if duplicates else None,
        artists=read_artists(artists) if artists else None,
        faults=read_tracks(faults) if faults else None,
    )


def _log(where: "Storage", fetched: "Fetched", appraisal: "EvaluationReport", page: str) -> str:
    """Log to MLflow and return the run; "" if MLflow would not have it."""
    from raygenre.registry import evaluation_log
    from raygenre.tracking.server import TrackingError, reason

    try:
        return evaluation_log.log_evaluation(where, fetched, appraisal, page)
    except (TrackingError, OSError) as error:
        text = f"nothing was logged to MLflow at {where.server}: {reason(error)} (--no-log leaves it out)"
        err.print(f"[red]error:[/red] {escape(text)}", highlight=False, soft_wrap=True)
        return ""
