"""Search for the best setting of the genre CNN, log every run to MLflow, register the winner.

Run, from the project's folder:
    python experiments/tune.py                                          # synthetic tracks: 3 minutes on 2 cores
    python experiments/tune.py --data PATH --trials 20 --epochs 40      # GTZAN's images: an hour or two on 2 cores
    python experiments/tune.py --resume                                 # goes on with the study worked on last
"""

import os
import shlex
import shutil
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from optuna.exceptions import OptunaError
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from raygenre import dataset as data_sets
from raygenre import job, report
from raygenre.dataset import Dataset
from raygenre.search.cluster import ClusterError, connect, resources
from raygenre.search.config import SearchConfig
from raygenre.search.ledger import Ledger, StudyError, check_name, latest_study
from raygenre.storage import Storage, resolve
from raygenre.tracking_server import ServerAwayError, TrackingError

SMALL = {"trials": 8, "epochs": 12, "batch_size": 8, "top_k": 2}  # defaults for the 200 synthetic tracks
LARGE = {"trials": 20, "epochs": 40, "batch_size": 16, "top_k": 3}  # defaults for real music
SYNTHETIC_NOTE = (
    "No --data and no RAYGENRE_DATA: these are ten synthetic genres. They show that everything works and say nothing "
    "about music. `.venv/bin/raygenre download` fetches GTZAN; then give its path as --data."
)
PLACE = ("storage", "study_url", "tracking_uri", "address", "cpus_per_trial", "gpus_per_trial", "max_concurrent")
FIXED = (
    "epochs",
    "seed",
    "split",
    "folds",
    "validation",
    "sampler",
    "scheduler",
    "batch_size",
    "augmentation",
    "top_k",
)


def main(
    context: typer.Context,
    data: Annotated[Path | None, typer.Option(help="Folder of <class>/ folders, or Kaggle's GTZAN.")] = None,
    study: Annotated[str, typer.Option(help="Name of the study; by default the date and time.")] = "",
    trials: Annotated[int, typer.Option(help="Settings to try; 0: 20, or 8 on synthetic tracks.")] = 0,
    epochs: Annotated[int, typer.Option(help="At most, a trial; 0: 40, or 12 on synthetic tracks.")] = 0,
    seed: Annotated[int, typer.Option(help="Of split, sampler and trainings.")] = 0,
    split: Annotated[
        Literal["random", "lists"], typer.Option(help="Draw the split, or take it from lists.")
    ] = "random",
    split_lists: Annotated[Path | None, typer.Option(help="Folder with train*.txt, valid*.txt, test*.txt.")] = None,
    folds: Annotated[int, typer.Option(help="1: one stratified hold-out; K: K-fold cross-validation.")] = 1,
    validation: Annotated[float, typer.Option(help="Share of the training part that a hold-out takes.")] = 0.2,
    duplicates: Annotated[Path | None, typer.Option(help="File of tracks that are the same recording.")] = None,
    keep_duplicates: Annotated[bool, typer.Option("--keep-duplicates", help="Let copies lie on two sides.")] = False,
    sampler: Annotated[Literal["tpe", "gp", "random"], typer.Option(help="How Optuna chooses settings.")] = "tpe",
    scheduler: Annotated[Literal["asha", "none"], typer.Option(help="Stop bad trials early, or none.")] = "asha",
    batch_size: Annotated[int, typer.Option(help="Tracks a step; 0: 16, or 8 on synthetic tracks.")] = 0,
    augmentation: Annotated[Literal["none", "erasing"], typer.Option(help="Blank random rectangles.")] = "none",
    cpus_per_trial: Annotated[float | None, typer.Option(help="1 by default.")] = None,
    gpus_per_trial: Annotated[float | None, typer.Option(help="May be a fraction; 1 if there is a GPU.")] = None,
    max_concurrent: Annotated[int, typer.Option(help="Trials at once; 0: as many as fit.")] = 0,
    address: Annotated[str | None, typer.Option(help="Of a Ray cluster; by default a private one here.")] = None,
    storage: Annotated[Path | None, typer.Option(help="Folder for everything; ./results by default.")] = None,
    study_url: Annotated[str | None, typer.Option(help="Database for Optuna instead of a file.")] = None,
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow server instead of the embedded SQLite.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a study; the last one without --study.")] = False,
    top_k: Annotated[int, typer.Option(help="Best settings to train again; 0: 3, or 2 on synthetic tracks.")] = 0,
    promote: Annotated[bool | None, typer.Option(help="Force or forbid the champion's change.")] = None,
) -> None:
    """Search over dropout, learning rate and decay, and register the winner."""
    console = Console()
    started = time.monotonic()
    ledger: Ledger | None = None
    try:
        where = resolve(storage, tracking_uri)
        if resume:
            ledger = Ledger.open(where.studies, study or latest_study(where.studies), url=study_url)
            _check_unchanged(context, ledger)
            ledger.extend(trials or ledger.config.trials)
            kept = Path(ledger.config.data) if ledger.config.data else None
            tracks = _load(data or kept, where, console)
            console.print(connect(address), highlight=False)
            allowed = resources(cpus_per_trial, gpus_per_trial, max_concurrent)
        else:
            name = study or datetime.now().strftime("study-%Y%m%d-%H%M%S")
            check_name(name)
            environment = os.environ.get("RAYGENRE_DATA")
            tracks = _load(data or (Path(environment) if environment else None), where, console)
            defaults = SMALL if tracks.synthetic else LARGE
            trials = trials or defaults["trials"]
            config = SearchConfig(
                data=None if tracks.synthetic else tracks.source,
                data_digest=tracks.digest,
                split=split,
                trials=trials,
                epochs=epochs or defaults["epochs"],
                seed=seed,
                folds=folds,
                validation=validation,
                top_k=top_k or min(defaults["top_k"], trials),
                sampler=sampler,
                scheduler=scheduler,
                batch_size=batch_size or defaults["batch_size"],
                augmentation=augmentation,
            )
            division = job.make_split(
                tracks, config, lists=split_lists, duplicates=duplicates, keep_duplicates=keep_duplicates
            )
            console.print(connect(address), highlight=False)
            allowed = resources(cpus_per_trial, gpus_per_trial, max_concurrent)
            ledger = Ledger.create(where.studies, name, config=config, split=division, url=study_url)
        console.print(_plan(ledger), highlight=False)
        if not allowed.gpus:
            console.print("No GPU is used: the trials train on the CPUs")
        outcome = job.run(ledger, tracks, where, resources=allowed, promote=promote, console=console)
        _summarise(outcome, ledger, where, console, started)
    except KeyboardInterrupt:
        if ledger is None:
            console.print("\nInterrupted before the study was begun")
        else:
            resumed = f"{_program()} --resume --study {ledger.name}{_same_place(context)}"
            text = f"\nInterrupted. Everything so far is kept; go on with:\n  {resumed}"
            console.print(text, highlight=False, soft_wrap=True)
        raise typer.Exit(130) from None
    except (ValueError, OSError, ClusterError, ServerAwayError, TrackingError, OptunaError) as error:
        console.print(f"[red]error:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from error


def _load(source: Path | None, where: Storage, console: Console) -> Dataset:
    if source is None:
        console.print(SYNTHETIC_NOTE, highlight=False)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("Decoding the tracks", total=None)
        tracks = data_sets.load(
            source, cache=where.cache, progress=lambda done, all_: bar.update(task, completed=done, total=all_)
        )
    found = f"{len(tracks.tracks)} tracks of {len(tracks.genres)} genres from {tracks.source}"
    console.print(escape(found), highlight=False, soft_wrap=True)
    if tracks.broken:
        console.print(f"{len(tracks.broken)} files were left out:\n{escape(data_sets.summary(tracks.broken))}")
    return tracks


def _check_unchanged(context: typer.Context, ledger: Ledger) -> None:
    """A resumed search is the one that was begun: options given anew must say the same."""
    for name in ("split_lists", "duplicates", "keep_duplicates"):
        if context.params[name]:
            raise StudyError(
                f"the split of the study {ledger.name} is drawn; --{name.replace('_', '-')} comes too late"
            )
    for name in FIXED:
        source = context.get_parameter_source(name)
        given, kept = context.params[name], getattr(ledger.config, name)
        if source is not None and source.name == "COMMANDLINE" and given != kept:
            option = f"--{name.replace('_', '-')}"
            raise StudyError(f"the study {ledger.name} has {option} {kept}; it cannot go on with {given}")


def _plan(ledger: Ledger) -> str:
    config, split = ledger.config, ledger.split
    fold = split.folds[0]
    return (
        f"Study {ledger.name}: {config.trials} trials of at most {config.epochs} epochs, {config.sampler} and "
        f"{config.scheduler}; {len(fold.train)} tracks to train on, {len(fold.validation)} to validate "
        f"({len(split.folds)} fold{'s' if len(split.folds) > 1 else ''}), {len(split.test)} to test"
    )


def _summarise(outcome: job.Outcome, ledger: Ledger, where: Storage, console: Console, started: float) -> None:
    winner = outcome.candidate.winner
    setting = winner.setting
    console.print()
    console.print(
        f"Best setting: dropout {setting.dropout:.3f}, learning rate {setting.learning_rate:.3g}, decay "
        f"{setting.decay:.3g} (trial {winner.number}; validation loss {winner.search_loss:.3f} in the search, "
        f"{winner.loss:.3f} ± {winner.spread:.3f} on new seeds)",
        highlight=False,
    )
    console.print(report.recall_table(outcome.evaluation), highlight=False)
    verdict = "is the champion" if outcome.champion.promote else "is not the champion"
    console.print(f"Model raygenre version {outcome.version} {verdict}: {outcome.champion.reason}", highlight=False)
    if not outcome.champion.promote:
        console.print("  (a resumed study with --promote makes it the champion all the same)", highlight=False)
    console.print(
        f"Network: {outcome.parameters:,} parameters, {outcome.flops / 1e9:.2f} GFLOPs a track", highlight=False
    )
    usual = resolve()
    place = f"RAYGENRE_STORAGE={shlex.quote(str(where.root))} " if where.root != usual.root else ""
    if where.tracking_uri not in (usual.tracking_uri, resolve(where.root).tracking_uri):
        place += f"MLFLOW_TRACKING_URI={shlex.quote(where.tracking_uri)} "
    console.print(
        f"Took {(time.monotonic() - started) / 60:.1f} min. Next:\n"
        f"  {place}make ui       # compare the runs of {ledger.name} in MLflow\n"
        f"  {place}make serve    # then: curl --data-binary @SONG.mp3 localhost:8000/v1/predict\n"
        f"  {place}{_command('raygenre')} predict SONG.mp3",
        highlight=False,
        soft_wrap=True,
    )


def _program() -> str:
    return f"{_command('python')} {shlex.quote(sys.argv[0])}"


def _command(name: str) -> str:
    """How to call a command of this environment: by its name if that finds it, else by its path."""
    path = Path(sys.executable).with_name(name)
    if shutil.which(name) == str(path):
        return name
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))


def _same_place(context: typer.Context) -> str:
    """The options of this call that a resumed search needs again, and the study does not keep."""
    given = {f"--{name.replace('_', '-')}": context.params[name] for name in PLACE}
    promote = {True: " --promote", False: " --no-promote"}.get(context.params["promote"], "")
    return "".join(f" {option} {shlex.quote(str(value))}" for option, value in given.items() if value) + promote


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
