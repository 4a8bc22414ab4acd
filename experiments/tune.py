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
from raygenre.search import run_file
from raygenre.search.cluster import ClusterError, RayError, connect, resources
from raygenre.search.folder import check_name, latest_study, trouble
from raygenre.search.ledger import Ledger
from raygenre.search.progress import short
from raygenre.search.resolve import check_unchanged
from raygenre.search.resolve import resolve as resolved
from raygenre.storage import Storage, masked, resolve
from raygenre.tracking_server import ServerAwayError, TrackingError, reason
from raygenre.verdict import verdict

SYNTHETIC_NOTE = (
    "No --data and no RAYGENRE_DATA: these are ten synthetic genres. They show that everything works and say nothing "
    "about music. `.venv/bin/raygenre download` fetches GTZAN; then give its path as --data."
)
PLACE = ("storage", "study_url", "tracking_uri", "address", "cpus_per_trial", "gpus_per_trial", "max_concurrent")


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
    console = Console()
    started = time.monotonic()
    ledger: Ledger | None = None
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
    try:
        where = resolve(storage, tracking_uri)
        where.studies.check()
        if resume:
            ledger = Ledger.open(where.studies, study or latest_study(where.studies), url=study_url)
            check_unchanged(context.params, given, ledger)
            ledger.extend(trials or ledger.config.trials)
            kept = Path(ledger.config.data) if ledger.config.data else None
            tracks = _load(data or kept, where, console)
            console.print(connect(address), highlight=False)
            allowed = resources(cpus_per_trial, gpus_per_trial, max_concurrent)
        else:
            name = study or datetime.now().strftime("study-%Y%m%d-%H%M%S")
            check_name(name)
            base = run_file.read(config) if config else None
            usual = base["data"] if base else os.environ.get("RAYGENRE_DATA")
            tracks = _load(data or (Path(usual) if usual else None), where, console)
            search, notes = resolved(context.params, given, tracks, base)
            division = job.make_split(
                tracks,
                search,
                lists=Path(search.split_lists) if search.split_lists else None,
                duplicates=Path(search.duplicates) if search.duplicates else None,
                keep_duplicates=search.keep_duplicates,
            )
            for note in notes:
                console.print(note, highlight=False)
            console.print(connect(address), highlight=False)
            allowed = resources(cpus_per_trial, gpus_per_trial, max_concurrent)
            ledger = Ledger.create(where.studies, name, config=search, split=division, url=study_url)
        console.print(_plan(ledger), highlight=False)
        if not allowed.gpus:
            console.print("No GPU is used: the trials train on the CPUs")
        outcome = job.run(ledger, tracks, where, resources=allowed, promote=promote, console=console)
        _summarise(outcome, ledger, where, console, started)
    except KeyboardInterrupt:
        if ledger is None:
            console.print("\nInterrupted before the study was begun")
        else:
            _say_how_to_resume("\nInterrupted. Everything so far is kept; go on with:", ledger, context, console)
        raise typer.Exit(130) from None
    except job.UndecidedError as error:
        command = f"{_environment(where)}{_command('raygenre')} promote {error.version}"
        console.print(f"[red]error:[/red] {escape(str(error))}\nLet it challenge the champion later with:\n  {command}",
                      highlight=False, soft_wrap=True)  # fmt: skip
        raise typer.Exit(2) from error
    except (ValueError, OSError, ClusterError, ServerAwayError, TrackingError, OptunaError, RayError) as error:
        text = str(error)
        if isinstance(error, TrackingError):
            text = f"MLflow at {where.server}: {reason(error)}"
        elif isinstance(error, OptunaError):
            text = f"the study cannot be kept: {trouble(error)}"
        console.print(f"[red]error:[/red] {escape(masked(text))}", highlight=False, soft_wrap=True)
        if ledger and isinstance(error, OSError | OptunaError | RayError | TrackingError):
            text = "Everything so far is kept; once that is mended, go on with:"
            _say_how_to_resume(text, ledger, context, console)
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


def _plan(ledger: Ledger) -> str:
    config, split = ledger.config, ledger.split
    fold = split.folds[0]
    return (
        f"Study {ledger.name}: {config.trials} trials of at most {config.epochs} epochs over "
        f"{', '.join(name.replace('_', ' ') for name in config.distributions)}, sampler {config.sampler}, scheduler "
        f"{config.scheduler}; {len(fold.train)} tracks to train on, {len(fold.validation)} to validate "
        f"({len(split.folds)} fold{'s' if len(split.folds) > 1 else ''}), {len(split.test)} to test"
    )


def _summarise(outcome: job.Outcome, ledger: Ledger, where: Storage, console: Console, started: float) -> None:
    winner = outcome.candidate.winner
    params = ledger.trials[winner.number].params
    best = ", ".join(f"{name.replace('_', ' ')} {short(value)}" for name, value in params.items())
    console.print()
    console.print(
        f"Best setting: {best} (trial {winner.number}; validation loss {winner.search_loss:.3f} in the search, "
        f"{winner.loss:.3f} ± {winner.spread:.3f} on new seeds)",
        highlight=False,
    )
    console.print(report.recall_table(outcome.evaluation), highlight=False)
    console.print(verdict(outcome.champion, outcome.version), highlight=False)
    console.print(
        f"Network: {outcome.parameters:,} parameters, {outcome.flops / 1e9:.2f} GFLOPs a track", highlight=False
    )
    place = _environment(where)
    console.print(
        f"Took {(time.monotonic() - started) / 60:.1f} min. Next:\n"
        f"  {place}make ui       # compare the runs of {ledger.name} in MLflow\n"
        f"  {place}make serve    # then: curl --data-binary @SONG.mp3 localhost:8000/v1/predict\n"
        f"  {place}{_command('raygenre')} predict SONG.mp3",
        highlight=False,
        soft_wrap=True,
    )


def _environment(where: Storage) -> str:
    """The variables with which other commands find the same place, where they would not by themselves."""
    try:
        usual = resolve()
        root, uri = usual.root, usual.tracking_uri
    except ValueError:  # a URL in the environment, whose tracking server an option named
        root, uri = where.root, ""
    place = f"RAYGENRE_STORAGE={shlex.quote(str(where))} " if where.root != root else ""
    if where.tracking_uri != uri and (where.url or where.tracking_uri != resolve(where.root).tracking_uri):
        place += f"MLFLOW_TRACKING_URI={shlex.quote(where.server)} "
    return place


def _say_how_to_resume(text: str, ledger: Ledger, context: typer.Context, console: Console) -> None:
    resumed = f"{_program()} --resume --study {ledger.name}{_same_place(context)}"
    console.print(f"{text}\n  {resumed}", highlight=False, soft_wrap=True, markup=False)


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
    return "".join(f" {option} {shlex.quote(masked(str(value)))}" for option, value in given.items() if value) + promote


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
