"""What `experiments/tune.py` does with its options: load the tracks, start Ray, open the study, run the main job."""

import os
import shlex
import shutil
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import typer
from optuna.exceptions import OptunaError
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from raygenre.data import dataset as data_sets
from raygenre.data.dataset import Dataset
from raygenre.evaluation import tables
from raygenre.registry.decision import decision_text
from raygenre.search.options import check_unchanged
from raygenre.search.options import resolve as resolved
from raygenre.search.space import config_file
from raygenre.search.space.config import Resources
from raygenre.search.space.space import short
from raygenre.search.study.backend import check_name, latest_study, storage_error_text
from raygenre.search.study.ledger import Ledger
from raygenre.search.trials.cluster import ClusterError, RayError, connect, resources
from raygenre.system.redaction import masked
from raygenre.system.storage import Storage, resolve
from raygenre.tracking.server import TrackingError, TrackingUnreachableError, reason
from raygenre.workflows import tune as job

PLACE = ("storage", "study_url", "tracking_uri", "address", "cpus_per_trial", "gpus_per_trial", "max_concurrent")


def tune(context: typer.Context, console: Console, *, started: float) -> None:
    """Run or go on with the search that the options of the script ask for.

    Args:
        started: when the script began, of `time.monotonic`.

    Raises:
        typer.Exit: the search failed, with 2, or was interrupted, with 130; the console says why.
    """
    options = context.params
    data, study, config, address, url = (options[name] for name in ("data", "study", "config", "address", "study_url"))
    ledger: Ledger | None = None
    sources = {name: context.get_parameter_source(name) for name in options}
    given = {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
    try:
        where = resolve(options["storage"], options["tracking_uri"])
        where.studies.check_access()
        if options["resume"]:
            ledger = Ledger.open(where.studies, study or latest_study(where.studies), url=url)
            check_unchanged(options, given, ledger)
            ledger.extend(options["trials"] or ledger.config.trials)
            kept = Path(ledger.config.data) if ledger.config.data else None
            tracks, cluster = _load_and_connect(data or kept, address, where, console)
            console.print(cluster or connect(address), highlight=False)
            allowed = _resources(options)
        else:
            name = study or datetime.now().strftime("study-%Y%m%d-%H%M%S")
            check_name(name)
            base = config_file.read(config) if config else None
            usual = base["data"] if base else os.environ.get("RAYGENRE_DATA")
            tracks, cluster = _load_and_connect(data or (Path(usual) if usual else None), address, where, console)
            search, notes = resolved(options, given, tracks, base)
            division = job.make_split(
                tracks,
                search,
                lists=Path(search.split_lists) if search.split_lists else None,
                duplicates=Path(search.duplicates) if search.duplicates else None,
                keep_duplicates=search.keep_duplicates,
            )
            for note in notes:
                console.print(note, highlight=False)
            console.print(cluster or connect(address), highlight=False)
            allowed = _resources(options)
            ledger = Ledger.create(where.studies, name, config=search, split=division, url=url)
        console.print(_plan(ledger), highlight=False)
        if not allowed.gpus:
            console.print("No GPU is used: the trials train on the CPUs")
        outcome = job.run(ledger, tracks, where, resources=allowed, promote=options["promote"], console=console)
        _summarise(outcome, ledger, where, console, started)
    except KeyboardInterrupt:
        if ledger is None:
            console.print("\nInterrupted before the study was begun")
        else:
            _say_how_to_resume("\nInterrupted. Everything so far is kept; go on with:", ledger, context, console)
        raise typer.Exit(130) from None
    except job.PromotionPendingError as error:
        command = f"{_environment(where)}{_command('raygenre')} promote {error.version}"
        console.print(f"[red]error:[/red] {escape(str(error))}\nLet it challenge the champion later with:\n  {command}",
                      highlight=False, soft_wrap=True)  # fmt: skip
        raise typer.Exit(2) from error
    except (ValueError, OSError, ClusterError, TrackingUnreachableError, TrackingError, OptunaError, RayError) as error:
        text = str(error)
        if isinstance(error, TrackingError):
            text = f"MLflow at {where.server}: {reason(error)}"
        elif isinstance(error, OptunaError):
            text = f"the study cannot be kept: {storage_error_text(error)}"
        console.print(f"[red]error:[/red] {escape(masked(text))}", highlight=False, soft_wrap=True)
        if ledger and isinstance(error, OSError | OptunaError | RayError | TrackingError):
            text = "Everything so far is kept; once that is mended, go on with:"
            _say_how_to_resume(text, ledger, context, console)
        raise typer.Exit(2) from error


def _load_and_connect(
    source: Path | None, address: str | None, where: Storage, console: Console
) -> tuple[Dataset, str]:
    """Load the tracks, and start Ray while synthetic ones are drawn; return what `connect` says, if it was called.

    Ray waits for real data, with which the options may still turn out not to go together.
    """
    if source:
        return _load(source, where, console), ""
    with ThreadPoolExecutor(max_workers=1) as pool:
        drawing = pool.submit(_load, None, where, console)
        cluster = connect(address)
        return drawing.result(), cluster


def _load(source: Path | None, where: Storage, console: Console) -> Dataset:
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("Decoding the tracks" if source else "Drawing synthetic tracks", total=None)
        tracks = data_sets.load(
            source, cache=where.cache, progress=lambda done, all_: bar.update(task, completed=done, total=all_)
        )
    found = f"{len(tracks.tracks)} tracks of {len(tracks.genres)} genres from {tracks.source}"
    console.print(escape(found), highlight=False, soft_wrap=True)
    if tracks.broken:
        console.print(f"{len(tracks.broken)} files were left out:\n{escape(data_sets.summary(tracks.broken))}")
    return tracks


def _resources(options: Mapping[str, Any]) -> Resources:
    asked = (options[name] for name in ("cpus_per_trial", "gpus_per_trial", "max_concurrent"))
    return resources(*asked, private=not options["address"])


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
    console.print(tables.recall_table(outcome.evaluation), highlight=False)
    console.print(decision_text(outcome.champion, outcome.version), highlight=False)
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
