"""`raygenre rerun`: replay a run that MLflow recorded, and compare the learning curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from raygenre.cli.checks import check_data, require_runs
from raygenre.cli.console import bar, mlflow_errors, out
from raygenre.cli.options import StorageOption, TrackingUriOption
from raygenre.errors import file_errors
from raygenre.system.numbers import loss_text

if TYPE_CHECKING:
    from raygenre.workflows.rerun import CurveDifference, Difference


def rerun(
    run: Annotated[
        str, typer.Argument(metavar="RUN_ID", help="MLflow run id of a trial, a finalist or the final training.")
    ],
    data: Annotated[Path | None, typer.Option(help="Data folder (default: the search's data folder).")] = None,
    threads: Annotated[int, typer.Option(help="Number of torch threads; 0: as in the run.", min=0)] = 0,
    storage_folder: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
) -> None:
    """Repeat a training run from its MLflow record, and compare the learning curves.

    Exits with 1 if the curves differ. Nothing is logged to MLflow.
    """
    from raygenre.system.storage import resolve

    check_data(data)
    storage = resolve(storage_folder, tracking_uri)
    require_runs(storage)

    from raygenre.data import dataset  # imported here, because these modules load MLflow and torch
    from raygenre.tracking.server import Server
    from raygenre.workflows.rerun import TOLERANCE, largest_difference, read_record, replay

    with mlflow_errors(storage):
        record = read_record(Server(storage), run)
    recorded = Path(record.config.data) if record.config.data else None
    with bar() as progress, file_errors("the tracks could not be loaded"):
        task = progress.add_task("loading tracks", total=None)
        tracks = dataset.load(
            data or recorded,
            cache=storage.cache,
            merge_case=record.config.merge_case,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    out.print(f"Replaying {record.name}: {len(record.curve)} epochs, seed {record.seed}", highlight=False)
    with file_errors("the run could not be replayed"):
        curve, differences = replay(record, tracks, threads=threads or None, on_start=_print_differences)
    out.print(_table(record.curve, curve), highlight=False)
    worst = largest_difference(record.curve, curve)
    same = worst.difference <= TOLERANCE
    out.print(_conclusion(worst, differences, same=same), highlight=False, soft_wrap=True)
    raise typer.Exit(0 if same else 1)


def _print_differences(differences: "Sequence[Difference]") -> None:
    for difference in differences:
        out.print(f"differs from the original: {difference}", highlight=False, soft_wrap=True, markup=False)


def _table(before: Sequence[Mapping[str, float]], now: Sequence[Mapping[str, float]]) -> Table:
    names = [name for name in ("train_loss", "validation_loss", "validation_accuracy") if name in before[0]]
    table = Table("epoch", *(f"{name.replace('_', ' ')}, {when}" for name in names for when in ("before", "now")))
    for recorded, trained in zip(before, now, strict=True):
        values = [loss_text(row[name], decimals=6) for name in names for row in (recorded, trained)]
        table.add_row(f"{recorded['epoch']:.0f}", *values)
    return table


def _conclusion(worst: "CurveDifference", differences: "Sequence[Difference]", *, same: bool) -> str:
    where = f" ({worst.name.replace('_', ' ')}, epoch {worst.epoch})" if worst.name else ""
    text = f"{'Same' if same else 'Different'} curve: largest difference {worst.difference:.2g}{where}"
    if differences:
        names = ", ".join(difference.what.removeprefix("version.") for difference in differences)
        return f"{text}; differs from the original: {names}"
    if same:
        return text
    return (
        f"{text}, although data, versions, code, processor, device, threads and precision are the same. The original "
        "run may have been interrupted and resumed on another machine, or its code may have had uncommitted changes."
    )
