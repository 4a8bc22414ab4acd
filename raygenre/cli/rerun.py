"""`raygenre rerun`: train a run of a search again from MLflow's record, and see whether the same comes out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from raygenre.cli.console import asking, bar, fail, out

if TYPE_CHECKING:
    from raygenre.workflows.rerun import Difference, Largest


def rerun(
    run: Annotated[str, typer.Argument(metavar="RUN_ID", help="MLflow's id of a trial, a finalist or the final one.")],
    data: Annotated[Path | None, typer.Option(help="The data folder; by default where the search had it.")] = None,
    threads: Annotated[int, typer.Option(help="Of torch, instead of as many as the run had.", min=0)] = 0,
    storage: Annotated[str | None, typer.Option(help="./results by default.")] = None,
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow server instead of the embedded SQLite.")] = None,
) -> None:
    """Train a run again from MLflow's record alone; status 1 if another curve comes out. Nothing is logged."""
    from raygenre.data import dataset as data_sets
    from raygenre.system.storage import resolve
    from raygenre.tracking.server import Server
    from raygenre.training.loop import NonFiniteLossError
    from raygenre.workflows import rerun as reruns

    try:
        where = resolve(storage, tracking_uri)
        if not where.has_runs:
            fail(f"there are no runs in {where.server}; name another --storage or --tracking-uri")
        server = Server(where)
        with asking(where):
            record = reruns.read(server, run)
        recorded = Path(record.config.data) if record.config.data else None
        with bar() as progress:
            task = progress.add_task("Decoding the tracks", total=None)
            tracks = data_sets.load(
                data or recorded,
                cache=where.cache,
                progress=lambda done, all_: progress.update(task, completed=done, total=all_),
            )
        out.print(f"{record.name}: {len(record.curve)} epochs again, seed {record.seed}", highlight=False)
        rows, differences = reruns.train_again(record, tracks, threads=threads or None, begun=_name)
    except (ValueError, OSError, NonFiniteLossError) as error:
        fail(str(error))
    out.print(_table(record.curve, rows), highlight=False)
    worst = reruns.largest(record.curve, rows)
    same = worst.difference <= reruns.TOLERANCE
    out.print(_verdict(worst, differences, same=same), highlight=False, soft_wrap=True)
    raise typer.Exit(0 if same else 1)


def _name(differences: "list[Difference]") -> None:
    for difference in differences:
        out.print(f"not as it was: {difference}", highlight=False, soft_wrap=True, markup=False)


def _table(before: list[dict[str, float]], now: list[dict[str, float]]) -> Table:
    names = [name for name in ("train_loss", "validation_loss", "validation_accuracy") if name in before[0]]
    table = Table("epoch", *(f"{name.replace('_', ' ')}, {when}" for name in names for when in ("before", "now")))
    for one, other in zip(before, now, strict=True):
        values = [f"{row[name]:.6f}" for name in names for row in (one, other)]
        table.add_row(f"{one['epoch']:.0f}", *values)
    return table


def _verdict(worst: "Largest", differences: "list[Difference]", *, same: bool) -> str:
    where = f" ({worst.name.replace('_', ' ')}, epoch {worst.epoch})" if worst.name else ""
    text = f"{'The same curve' if same else 'Another curve'}: they differ by {worst.difference:.2g} at most{where}"
    if differences:
        names = ", ".join(difference.what.removeprefix("version.") for difference in differences)
        return f"{text}; not as it was: {names}"
    if same:
        return text
    return (
        f"{text}, though data, versions, code, processor, device, threads and precision are as they were: the run may "
        "have been interrupted, and have gone on on another machine, or the code had changes that were not committed"
    )
