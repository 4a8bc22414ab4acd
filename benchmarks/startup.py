"""Measures the response times and the CPU time of commands.

Run from the project's folder (2 minutes on 2 quiet cores):
    .venv/bin/python benchmarks/startup.py

Each command runs in its own process, with a storage folder that contains a champion of the default width, and with one
30 s clip. The first call of each command is not counted, because it reads libraries from disk. The table shows the
shortest time. The exit status is 1 if a command takes longer than its limit, which assumes two quiet cores.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from raygenre.audio import SAMPLE_RATE
from raygenre.audio.encoding import encode
from raygenre.audio.synthesis import synthesise
from raygenre.cli import app
from raygenre.evaluation.version_facts import VersionFacts
from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.registry import champion, versions
from raygenre.system.storage import resolve
from raygenre.tracking.server import Server

COMMAND = (sys.executable, "-c", "from raygenre.cli import app; app()")
GENRES = tuple(f"genre-{number}" for number in range(10))
HELP_SECONDS = ERROR_SECONDS = 1.0
PREDICT_SECONDS = MODELS_SECONDS = 4.0
DOCTOR_SECONDS, DOCTOR_MODEL_SECONDS = 3.0, 5.0  # without a champion, and with one
UI_SECONDS = 15.0


@dataclass(frozen=True)
class Case:
    """A command, and its time limit.

    Attributes:
        status: expected exit status.
        ready: text that the command prints once it is ready; if empty, the command is timed until it ends.
    """

    title: str
    arguments: Sequence[str]
    limit: float  # s
    status: int = 0
    ready: str = ""


def new_storage(root: Path) -> None:
    """Create a storage folder with an untrained champion."""
    server = Server(resolve(root))
    run = server.client.create_run(server.experiment_id)
    folder = root / "classifier"
    Classifier(GenreCNN(ModelConfig(genres=len(GENRES))), GENRES).save(folder)
    facts = VersionFacts(0.5, "", True, "study", Classifier.load(folder).sha256, 100, len(GENRES))
    champion.promote(server, versions.register(server, run.info.run_id, folder, facts))


def cases(folder: Path) -> list[Case]:
    clip, missing = str(folder / "clip.flac"), str(folder / "missing")
    empty, storage = ["--storage", str(folder / "empty")], ["--storage", str(folder / "results")]
    names = [str(command.callback.__name__) for command in app.registered_commands if command.callback]
    return [
        Case("raygenre --help", ["--help"], HELP_SECONDS),
        *(Case(f"raygenre {name} --help", [name, "--help"], HELP_SECONDS) for name in names),
        Case("predict: no such song", ["predict", missing, *storage], ERROR_SECONDS, status=1),
        Case("predict: no champion", ["predict", clip, *empty], ERROR_SECONDS, status=2),
        Case("evaluate: no such data", ["evaluate", "--data", missing, *storage], ERROR_SECONDS, status=2),
        Case("tune: no such data", ["tune", "--data", missing, *empty], ERROR_SECONDS, status=2),
        Case("tune: no such study", ["tune", "--resume", "--study", "none", *empty], ERROR_SECONDS, status=2),
        Case("serve: no API keys", ["serve", "--host", "0.0.0.0", *storage], ERROR_SECONDS, status=2),
        Case("doctor: no champion", ["doctor", *empty], DOCTOR_SECONDS),
        Case("doctor", ["doctor", *storage], DOCTOR_MODEL_SECONDS),
        Case("models", ["models", *storage], MODELS_SECONDS),
        Case("predict: one clip", ["predict", clip, *storage], PREDICT_SECONDS),
        Case("ui: until it answers", ["ui", "--port", "5876", *storage], UI_SECONDS, ready="MLflow:"),
    ]


def measure(case: Case) -> tuple[float, float]:
    """Run a command once, and return its wall time and CPU time in seconds."""
    before, started = os.times(), time.monotonic()
    process = subprocess.Popen([*COMMAND, *case.arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    while case.ready and case.ready not in (line := process.stdout.readline()):
        assert line, process.communicate()[1]
    seconds = time.monotonic() - started
    if case.ready:
        process.terminate()
    errors = process.communicate()[1]
    assert process.returncode == case.status, errors
    after = os.times()
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return seconds if case.ready else time.monotonic() - started, cpu


def fastest(case: Case, repeats: int) -> tuple[float, float]:
    measure(case)  # not counted, because this call reads libraries from disk
    return min(measure(case) for _ in range(repeats))


def main(repeats: Annotated[int, typer.Option(min=1, help="Calls of each command; the fastest counts.")] = 5) -> None:
    """Measure how long commands take to respond."""
    for name in ("RAYGENRE_DATA", "RAYGENRE_STORAGE", "MLFLOW_TRACKING_URI", "RAYGENRE_API_KEYS"):
        os.environ.pop(name, None)
    table = Table("command", title="Seconds until the answer")
    for column in ("s", "CPU s", "limit"):
        table.add_column(column, justify="right")
    slow = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        new_storage(folder / "results")
        (folder / "clip.flac").write_bytes(encode(synthesise("bells", seed=0), "flac", "flac", rate=SAMPLE_RATE))
        for case in cases(folder):
            seconds, cpu = fastest(case, repeats)
            table.add_row(case.title, f"{seconds:.2f}", f"{cpu:.2f}", f"{case.limit:g}")
            if seconds > case.limit:
                slow.append(case.title)
    Console().print(table)
    if slow:
        print(f"over their limit: {', '.join(slow)}")
        raise typer.Exit(1)


if __name__ == "__main__":
    script = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    script.command()(main)
    script()
