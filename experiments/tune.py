"""Search for the best setting of the genre CNN, log every run to MLflow, register the winner.

Run, from the project's folder:
    python experiments/tune.py                                          # synthetic tracks: 1 or 2 minutes on 2 cores
    python experiments/tune.py --data PATH --trials 20 --epochs 40      # GTZAN's images: an hour or two on 2 cores
    python experiments/tune.py --resume                                 # goes on with the study worked on last
"""

import os
import time
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

SYNTHETIC_NOTE = (
    "No --data and no RAYGENRE_DATA: these are ten synthetic genres. They show that everything works and say nothing "
    "about music. `.venv/bin/raygenre download` fetches GTZAN; then give its path as --data."
)


def main(
    context: typer.Context,
    data: Annotated[Path | None, typer.Option(help="Folder of <class>/ folders, or Kaggle's GTZAN.")] = None,
    study: Annotated[str, typer.Option(help="Name of the study; by default the date and time.")] = "",
    trials: Annotated[int, typer.Option(help="Settings to try; 0: 20, or 8 on synthetic tracks.")] = 0,
    epochs: Annotated[int, typer.Option(help="At most, a trial; 0: 40, or 8 on synthetic tracks.")] = 0,
    seed: Annotated[int, typer.Option(help="Of split, sampler and trainings.")] = 0,
    split: Annotated[
        Literal["random", "lists"], typer.Option(help="Draw the split, or take it from lists.")
    ] = "random",
    split_lists: Annotated[Path | None, typer.Option(help="Folder with train*.txt, valid*.txt, test*.txt.")] = None,
    folds: Annotated[int, typer.Option(help="1: one stratified hold-out; K: K-fold cross-validation.")] = 1,
    validation: Annotated[float, typer.Option(help="Share of the training part that a hold-out takes.")] = 0.2,
    duplicates: Annotated[Path | None, typer.Option(help="File of tracks that are the same recording.")] = None,
    keep_duplicates: Annotated[bool, typer.Option("--keep-duplicates", help="Let copies lie on two sides.")] = False,
    sampler: Annotated[
        Literal["auto", "tpe", "gp", "random", "cmaes"], typer.Option(help="How Optuna chooses settings.")
    ] = "auto",
    scheduler: Annotated[
        Literal["asha", "median", "none"], typer.Option(help="Stop bad trials early, or none.")
    ] = "asha",
    space: Annotated[
        Path | None, typer.Option(help="YAML file of what is searched; see experiments/space.yaml.")
    ] = None,
    search_width: Annotated[bool, typer.Option("--search-width", help="Search the network's width too.")] = False,
    start: Annotated[list[str], typer.Option(help="Try this first, as dropout=0.3,decay=0.01; repeatable.")] = [],  # noqa: B006
    objectives: Annotated[
        str, typer.Option(help="loss; or loss or accuracy, then parameters, latency or both.")
    ] = "loss",
    config: Annotated[
        Path | None, typer.Option(help="Run the search of a run.yaml; other options override it.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Tracks a step; 0: 16, or 4 on synthetic tracks.")] = 0,
    augmentation: Annotated[Literal["none", "erasing"], typer.Option(help="Blank random rectangles.")] = "none",
    cpus_per_trial: Annotated[float | None, typer.Option(help="1 by default.")] = None,
    gpus_per_trial: Annotated[float | None, typer.Option(help="May be a fraction; 1 if there is a GPU.")] = None,
    max_concurrent: Annotated[int, typer.Option(help="Trials at once; 0: as many as fit.")] = 0,
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster; by default a private one here.")] = None,
    storage: Annotated[
        str | None, typer.Option(help="Folder for everything, ./results by default; or a URL such as s3://BUCKET/PATH.")
    ] = None,
    study_url: Annotated[str | None, typer.Option(help="Database for Optuna instead of a file.")] = None,
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow server instead of the embedded SQLite.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a study; the last one without --study.")] = False,
    top_k: Annotated[int, typer.Option(help="Best settings to train again; 0: 3, or 2 on synthetic tracks.")] = 0,
    promote: Annotated[bool | None, typer.Option(help="Force or forbid the champion's change.")] = None,
) -> None:
    """Search for the best dropout, learning rate and decay, or what --space says, and register the winner."""
    started = time.monotonic()
    console = Console()
    if not (data or config or resume or os.environ.get("RAYGENRE_DATA")):
        console.print(SYNTHETIC_NOTE, highlight=False)
    from raygenre.cli.tune import tune  # imports torch, Ray and MLflow, which takes seconds: the note comes first

    tune(context, console, started=started)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
