"""Compares a search's overhead with that of Ray's OptunaSearch and MLflowLoggerCallback.

Run from the project's folder (15 minutes on 2 cores, mostly for the stock search):
    .venv/bin/python benchmarks/orchestration.py

First, 20 trials sleep for 20 s each, two at a time, and report 20 epochs each; the overhead is the elapsed time minus
the time spent asleep. This is repeated with an unreachable MLflow server, for which the driver waits 5 s at the end.
Then the memory of each driver is measured with trials that report one epoch each without sleeping. In all other
measurements, searches log to an MLflow server on this machine. Ray is started before the measurement.

To measure whether a search slows down as its number of trials grows (about 6 minutes):
    .venv/bin/python benchmarks/orchestration.py --sleepers 0 --trials 3000 --no-stock
"""

import contextlib
import functools
import io
import itertools
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import optuna
import ray
import typer
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.search import ConcurrencyLimiter
from ray.tune.search.optuna import OptunaSearch
from rich.console import Console
from rich.table import Table

from raygenre.data.splits import Fold, Split
from raygenre.search.controls import Controls
from raygenre.search.space.choices import SamplerName
from raygenre.search.space.config import Resources, SearchConfig
from raygenre.search.study.ledger import Ledger
from raygenre.search.study.time_used import TimeUsed
from raygenre.search.trials.cluster import connect
from raygenre.search.trials.phases import TextDisplay
from raygenre.search.trials.places import Places
from raygenre.search.trials.search_timer import SearchTimer
from raygenre.search.trials.timings import Work
from raygenre.search.trials.trainable import Plan, Tracks
from raygenre.search.trials.trial_limits import TrialLimits
from raygenre.search.trials.trial_result import METRICS, OBJECTIVE
from raygenre.search.trials.tuner import run_trials
from raygenre.system.storage import resolve
from raygenre.tracking.server import Server
from raygenre.tracking.tracker import Tracker

CONCURRENCY = 2
BLOCK = 500  # trials timed together
UNREACHABLE = "http://127.0.0.1:9"  # port of the discard service, which is obsolete and no longer runs anywhere


def sleeping(config: dict[str, Any], *, plan: "ray.ObjectRef[Plan]", shared: object, seconds: float) -> None:
    """Trainable that sleeps instead of training."""
    epochs = ray.get(plan).epochs
    for epoch in range(1, epochs + 1):
        time.sleep(seconds / epochs)
        tune.report(dict.fromkeys(METRICS, 1.0) | {"epoch": epoch})


def stock(config: dict[str, float]) -> None:
    """Trainable for the stock search; all it does is report one epoch."""
    tune.report(dict.fromkeys(METRICS, 1.0) | {"epoch": 1})


@dataclass(frozen=True)
class Measured:
    """The measurements of a search.

    Attributes:
        seconds: duration of the search in s, including uploads.
        memory: memory of the driver in MiB, after a fifth of the trials and at the end.
        ends: for each trial, the time at which it ended, in s since the start, and the driver's CPU time until then.
    """

    seconds: float
    memory: list[float]
    ends: list[tuple[float, float]]


def our_search(
    folder: Path, uri: str, *, trials: int, epochs: int, seconds: float, sampler: SamplerName = "tpe"
) -> Measured:
    """Run a search with raygenre."""
    config = SearchConfig(
        data=None,
        data_digest="none",
        split="random",
        trials=trials,
        epochs=epochs,
        seed=0,
        folds=1,
        validation=0.2,
        top_k=1,
        sampler=sampler,
        scheduler="none",
        batch_size=8,
        augmentation="none",
    )
    storage = resolve(folder, uri)
    split = Split("random", 0, ("test",), (Fold(("train",), ("validation",)),))
    ledger = Ledger.create(storage.studies, "orchestration", config=config, split=split, url=None)
    memory: list[float] = []
    ends: list[tuple[float, float]] = []
    started, cpu_started = time.perf_counter(), time.process_time()

    class Probe(io.StringIO):
        """Records the time and the memory use whenever a finished trial is printed."""

        def write(self, text: str) -> int:
            if re.match(r"trial \d", text):
                memory.append(resident())
                ends.append((time.perf_counter() - started, time.process_time() - cpu_started))
            return len(text)

    tracker = Tracker(Server(storage), ledger.folder, ledger.id)
    resources = Resources(1, 0, CONCURRENCY)
    timer = SearchTimer(ledger, Work(trials, epochs, finalists=1, repeats=0, slots=CONCURRENCY))
    places = Places(Controls(), resources, timer=timer, time_used=TimeUsed(ledger))
    display = TextDisplay(Probe())
    run_trials(
        ledger,
        Plan(genres=2, epochs=epochs, threads=1, device="cpu"),
        ray.put(Tracks(np.empty((0, 128, 333), np.uint8), np.empty(0, np.int64), ())),
        resources=resources,
        tracker=tracker,
        parent=tracker.start("orchestration", "search"),
        display=display,
        timer=timer,
        places=places,
        limits=TrialLimits(ledger, places.controls, timer=timer, time_used=places.time_used, display=display),
        trainable=functools.partial(sleeping, seconds=seconds),
    )
    uploaded = tracker.flush(5 if uri == UNREACHABLE else 60)
    took = time.perf_counter() - started
    if uploaded == (uri == UNREACHABLE):
        raise RuntimeError(f"MLflow at {uri} is {'' if uploaded else 'un'}reachable: {tracker.unreachable_reason}")
    tracker.close()
    ledger.close()
    return Measured(took, [memory[len(memory) // 5], memory[-1]], ends)


def stock_search(folder: Path, uri: str, *, trials: int) -> tuple[float, list[float]]:
    """Run the same search with Ray's own components; return its duration in s and the driver's memory in MiB."""
    memory: list[float] = []

    class MemoryCallback(tune.Callback):
        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            memory.append(resident())

    space = {
        "dropout": tune.uniform(0, 0.5),
        "learning_rate": tune.loguniform(2e-4, 5e-3),
        "decay": tune.loguniform(0.1, 9),
    }
    searcher = ConcurrencyLimiter(OptunaSearch(metric=OBJECTIVE, mode="min"), max_concurrent=CONCURRENCY)
    callbacks = [MLflowLoggerCallback(tracking_uri=uri, experiment_name="stock"), MemoryCallback()]
    started = time.perf_counter()
    tune.Tuner(
        stock,
        param_space=space,
        tune_config=tune.TuneConfig(search_alg=searcher, num_samples=trials),
        run_config=tune.RunConfig(storage_path=str(folder), callbacks=callbacks, verbose=0),
    ).fit()
    return time.perf_counter() - started, [memory[len(memory) // 5], memory[-1]]


def resident() -> float:
    """Return the resident memory of this process in MiB (only on Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextlib.contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """Run an MLflow tracking server on this machine and yield its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'server.db'}", "--artifacts-destination", str(folder)]
    # The server's job workers are not needed and would still be importing modules when the search starts.
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment)
    uri, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 120
    try:
        while True:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the MLflow server did not start:\n{(folder / 'server.log').read_text()}")
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{uri}/health", timeout=10):
                break
            time.sleep(0.3)
        yield uri
    finally:
        server.terminate()
        server.wait()


def main(
    sleepers: Annotated[int, typer.Option(help="Sleeping trials; 0 skips them.")] = 20,
    seconds: Annotated[float, typer.Option(help="Time that each of them sleeps, in s.")] = 20,
    trials: Annotated[int, typer.Option(help="Trials that do not sleep; 0 skips them.")] = 500,
    stock: Annotated[bool, typer.Option(help="Run the stock search as well.")] = True,
    sampler: Annotated[SamplerName, typer.Option(help="Sampler of the trials that do not sleep.")] = "tpe",
) -> None:
    """Measure both searches."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    console = Console()
    connect(None)
    table = Table("search", "s", "overhead", "driver, MiB at 20 % and at the end")
    with tempfile.TemporaryDirectory() as folder, mlflow_server(Path(folder)) as uri:
        if sleepers:
            slept = our_search(Path(folder) / "asleep", uri, trials=sleepers, epochs=20, seconds=seconds)
            unreachable = our_search(
                Path(folder) / "unreachable", UNREACHABLE, trials=sleepers, epochs=20, seconds=seconds
            )
            asleep = sleepers * seconds / CONCURRENCY
            table.add_row(
                f"{sleepers} trials of {seconds:g} s",
                f"{slept.seconds:.1f}",
                f"{slept.seconds / asleep - 1:+.1%} over {asleep:g} s",
                joined(slept.memory),
            )
            table.add_row(
                "same trials, MLflow unreachable",
                f"{unreachable.seconds:.1f}",
                f"{unreachable.seconds / slept.seconds - 1:+.1%}",
                "",
            )
        if trials:
            ours = our_search(Path(folder) / "ours", uri, trials=trials, epochs=1, seconds=0, sampler=sampler)
            table.add_row(f"{trials} trials of 0 s, raygenre", f"{ours.seconds:.1f}", "", joined(ours.memory))
            if stock:
                theirs, memory = stock_search(Path(folder) / "stock", uri, trials=trials)
                table.add_row(
                    f"{trials} trials of 0 s, stock",
                    f"{theirs:.1f}",
                    f"{theirs / ours.seconds:.1f} × raygenre",
                    joined(memory),
                )
    console.print(table)
    if trials >= 2 * BLOCK:
        console.print(blocks_text("s", [end for end, _ in ours.ends]))
        console.print(blocks_text("s of the driver's CPU time", [cpu for _, cpu in ours.ends]))


def blocks_text(unit: str, ends: Sequence[float]) -> str:
    """Return the duration of each block of trials, and the ratio of the last duration to the first.

    Args:
        unit: the unit of the durations, shown in the returned text.
        ends: the time, or the driver's CPU time, at the end of each trial.
    """
    blocks = [after - before for before, after in itertools.pairwise([0.0, *ends[BLOCK - 1 :: BLOCK]])]
    texts = ", ".join(f"{block:.1f}" for block in blocks)
    return f"{unit} per {BLOCK} trials: {texts}; the last takes {blocks[-1] / blocks[0]:.2f} times as long as the first"


def joined(memory: list[float]) -> str:
    return ", ".join(f"{value:.0f}" for value in memory)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
