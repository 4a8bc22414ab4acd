"""Prints the plan of `raygenre tune`, its result, and the commands to run next."""

import shlex
import shutil
import sys
from pathlib import Path

from rich.console import Console

from raygenre.cli.tables import decision_table, recall_table
from raygenre.search.options import Options
from raygenre.search.space.config import Resources
from raygenre.search.space.space import short
from raygenre.search.study.ledger import Ledger
from raygenre.search.study.stored_bytes import stored_bytes
from raygenre.search.trials.phases import Display, duration, short_duration
from raygenre.system.numbers import bytes_text, loss_text
from raygenre.system.redaction import masked
from raygenre.system.storage import Storage, StorageError, resolve
from raygenre.tracking.server import Server
from raygenre.tracking.shared_view import view_url
from raygenre.workflows.tune import Outcome

_NOT_IN_STUDY = (
    "storage", "study_url", "tracking_uri", "address", "cpus_per_trial", "gpus_per_trial", "max_concurrent",
)  # fmt: skip


def print_plan(ledger: Ledger, allowed: Resources, display: Display) -> None:
    """Print what the search will do."""
    config, split = ledger.config, ledger.split
    fold, folds = split.folds[0], len(split.folds)
    searched = ", ".join(name.replace("_", " ") for name in config.distributions)
    display.info("study", f"{ledger.name}, in {ledger.location}")
    display.info("search", f"{searched}; sampler {config.sampler}, scheduler {config.scheduler}")
    display.info(
        "split",
        f"{len(fold.train)} training, {len(fold.validation)} validation and {len(split.test)} test tracks"
        + (f" in the first of {folds} folds" if folds > 1 else ""),
    )
    limits = [
        *([f"time budget {short_duration(config.time_budget)}"] if config.time_budget else []),
        *([f"patience {config.patience} trials"] if config.patience else []),
    ]
    if limits:
        display.info("limits", ", ".join(limits))
    display.info(
        "resources", f"per trial {allowed.cpus:g} CPU and {f'{allowed.gpus:g} GPU' if allowed.gpus else 'no GPU'}"
    )


def print_result(
    outcome: Outcome, ledger: Ledger, server: Server, *, display: Display, console: Console, seconds: float
) -> None:
    """Print the best setting, its results on the test tracks, and the commands to run next."""
    winner = outcome.candidate.winner
    params = ledger.trial(winner.number).params
    setting = ", ".join(f"{name.replace('_', ' ')} {short(value)}" for name, value in params.items())
    loss = f"validation loss {loss_text(winner.loss)} ± {loss_text(winner.spread)} on new seeds"
    display.info("best setting", f"{setting} (trial {winner.number}; {loss})")
    operations = f"{outcome.flops / 1e9:.2f} GFLOPs" if outcome.flops >= 1e7 else f"{outcome.flops / 1e6:.2f} MFLOPs"
    given = ", on the features of the pretrained network" if ledger.config.input == "features" else ""
    display.info("network", f"{outcome.parameters:,} parameters, {operations} per track{given}")
    display.info("stored", f"{bytes_text(stored_bytes(server.storage.studies, ledger.name))} in {ledger.location}")
    display.info("duration", duration(seconds))
    console.print()
    console.print(recall_table(outcome.evaluation), highlight=False)
    console.print(decision_table(outcome.champion, outcome.version), highlight=False)
    variables = environment(server.storage)
    trials = view_url(server, ledger.id) or f"{variables}make ui      "
    serving = (
        f"  {variables}make serve    # then: curl --data-binary @SONG.mp3 localhost:8000/v1/predict\n"
        f"  {variables}{command('raygenre')} predict SONG.mp3"
    )
    if not outcome.champion.promote and outcome.champion.incumbent is None:  # there is no champion to serve
        serving = (
            f"  {variables}{command('raygenre')} models    # and, if you trust one: raygenre promote VERSION --force"
        )
    console.print(
        f"Next:\n  {trials} # compare the trials of {ledger.name} in MLflow\n{serving}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def resume_command(options: Options, study: str) -> str:
    """Return the command that resumes a study, with the options that the study does not store."""
    given = {f"--{name.replace('_', '-')}": getattr(options, name) for name in _NOT_IN_STUDY}
    place = "".join(f" {option} {shlex.quote(masked(str(value)))}" for option, value in given.items() if value)
    limit = f" --max-failures {options.max_failures}" if "max_failures" in options.given else ""
    promote = {True: " --promote", False: " --no-promote", None: ""}[options.promote]
    return f"{_program()} --resume --study {study}{place}{limit}{promote}"


def environment(storage: Storage) -> str:
    """Return the environment variables that point other commands to the storage, if it is not the default."""
    try:
        default = resolve()
        root, uri = default.root, default.tracking_uri
    except StorageError:  # RAYGENRE_STORAGE is a URL, and the tracking server was passed as an option
        root, uri = storage.root, ""
    variables = f"RAYGENRE_STORAGE={shlex.quote(str(storage))} " if storage.root != root else ""
    if storage.tracking_uri != uri and (storage.url or storage.tracking_uri != resolve(storage.root).tracking_uri):
        variables += f"MLFLOW_TRACKING_URI={shlex.quote(storage.server)} "
    return variables


def command(name: str) -> str:
    """Return the name of a command in this Python environment if the shell finds it, otherwise its path."""
    path = Path(sys.executable).with_name(name)
    if shutil.which(name) == str(path):
        return name
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))


def _program() -> str:
    """Return the command that started this program: `raygenre tune` or a script."""
    if Path(sys.argv[0]).name == "raygenre":
        return f"{command('raygenre')} tune"
    return f"{command('python')} {shlex.quote(sys.argv[0])}"
