"""What a search costs beside its trainings: raygenre's, and Ray's stock OptunaSearch with MLflowLoggerCallback.

Run, from the project's folder (a quarter of an hour on 2 cores, most of it the stock search):
    .venv/bin/python benchmarks/orchestration.py

First, trials that sleep: 20 of 20 s, two at a time, each reporting 20 epochs, beside the time that they sleep; and the
same with MLflow away, for which the driver waits another 5 s in the end. Then trials that do nothing but report one
epoch, with the memory of each driver on the way. All but one write to an MLflow server on this machine. Ray is started
before the clock.
"""

import contextlib
import functools
import io
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
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
from raygenre.search.space.config import Resources, SearchConfig
from raygenre.search.study.ledger import Ledger
from raygenre.search.trials.cluster import connect
from raygenre.search.trials.phases import Phases
from raygenre.search.trials.trainable import Plan, Tracks
from raygenre.search.trials.trial_result import METRICS, OBJECTIVE
from raygenre.search.trials.tuner import run_trials
from raygenre.system.storage import resolve
from raygenre.tracking.tracker import Tracker

AT_ONCE = 2
AWAY = "http://127.0.0.1:9"  # the port of a service that no machine offers any more


def sleeping(config: dict[str, Any], *, plan: Plan, shared: object, seconds: float) -> None:
    """A trial that learns nothing, for a while."""
    for epoch in range(1, plan.epochs + 1):
        time.sleep(seconds / plan.epochs)
        tune.report(dict.fromkeys(METRICS, 1.0) | {"epoch": epoch})


def stock(config: dict[str, float]) -> None:
    """The same without the sleep, for Ray's own parts."""
    tune.report(dict.fromkeys(METRICS, 1.0) | {"epoch": 1})


def our_search(folder: Path, uri: str, *, trials: int, epochs: int, seconds: float) -> tuple[float, list[float]]:
    """Seconds of a search until MLflow has everything or was waited for, and MiB of its driver, early and late."""
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
        sampler="tpe",
        scheduler="none",
        batch_size=8,
        augmentation="none",
    )
    storage = resolve(folder, uri)
    split = Split("random", 0, ("test",), (Fold(("train",), ("validation",)),))
    ledger = Ledger.create(storage.studies, "orchestration", config=config, split=split, url=None)
    memory: list[float] = []

    class Watched(io.StringIO):
        """Where a finished trial prints its line."""

        def write(self, text: str) -> int:
            if text.startswith("trial"):
                memory.append(resident())
            return len(text)

    started = time.perf_counter()
    tracker = Tracker(storage, ledger.folder, ledger.id)
    run_trials(
        ledger,
        Plan(genres=2, epochs=epochs, threads=1, device="cpu"),
        ray.put(Tracks(np.empty((0, 128, 333), np.uint8), np.empty(0, np.int64), ())),
        resources=Resources(1, 0, AT_ONCE),
        tracker=tracker,
        parent=tracker.start("orchestration", "search"),
        phases=Phases(Console(file=Watched(), width=200)),
        trainable=functools.partial(sleeping, seconds=seconds),
    )
    delivered = tracker.flush(5 if uri == AWAY else 60)
    took = time.perf_counter() - started
    if delivered == (uri == AWAY):
        raise RuntimeError(f"MLflow is {'not' if uri == AWAY else ''} away: {tracker.unreachable_reason}")
    tracker.close()
    ledger.close()
    return took, [memory[len(memory) // 5], memory[-1]]


def stock_search(folder: Path, uri: str, *, trials: int) -> tuple[float, list[float]]:
    """The same by Ray's stock parts."""
    memory: list[float] = []

    class Watch(tune.Callback):
        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            memory.append(resident())

    space = {
        "dropout": tune.uniform(0, 0.5),
        "learning_rate": tune.loguniform(2e-4, 5e-3),
        "decay": tune.loguniform(0.1, 9),
    }
    searcher = ConcurrencyLimiter(OptunaSearch(metric=OBJECTIVE, mode="min"), max_concurrent=AT_ONCE)
    callbacks = [MLflowLoggerCallback(tracking_uri=uri, experiment_name="stock"), Watch()]
    started = time.perf_counter()
    tune.Tuner(
        stock,
        param_space=space,
        tune_config=tune.TuneConfig(search_alg=searcher, num_samples=trials),
        run_config=tune.RunConfig(storage_path=str(folder), callbacks=callbacks, verbose=0),
    ).fit()
    return time.perf_counter() - started, [memory[len(memory) // 5], memory[-1]]


def resident() -> float:
    """MiB of this process, on Linux."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextlib.contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """A tracking server on this machine, and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'server.db'}", "--artifacts-destination", str(folder)]
    # Its job workers, which nothing here needs, would go on importing while the search begins.
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment)
    uri, until = f"http://127.0.0.1:{port}", time.monotonic() + 120
    try:
        while True:
            if server.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"MLflow does not answer:\n{(folder / 'server.log').read_text()}")
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{uri}/health", timeout=10):
                break
            time.sleep(0.3)
        yield uri
    finally:
        server.terminate()
        server.wait()


def main(
    sleepers: Annotated[int, typer.Option(help="Trials that sleep; 0: none.")] = 20,
    seconds: Annotated[float, typer.Option(help="That each of them sleeps.")] = 20,
    trials: Annotated[int, typer.Option(help="Trials that do nothing; 0: none.")] = 500,
) -> None:
    """Measure both."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    console = Console()
    connect(None)
    table = Table("search", "s", "beside", "driver, MiB at a fifth and at the end")
    with tempfile.TemporaryDirectory() as folder, mlflow_server(Path(folder)) as uri:
        if sleepers:
            took, memory = our_search(Path(folder) / "asleep", uri, trials=sleepers, epochs=20, seconds=seconds)
            away, _ = our_search(Path(folder) / "away", AWAY, trials=sleepers, epochs=20, seconds=seconds)
            asleep = sleepers * seconds / AT_ONCE
            table.add_row(
                f"{sleepers} trials of {seconds:g} s",
                f"{took:.1f}",
                f"{took / asleep - 1:+.1%} of {asleep:g} s",
                words(memory),
            )
            table.add_row("the same with MLflow away", f"{away:.1f}", f"{away / took - 1:+.1%}", "")
        if trials:
            ours, memory = our_search(Path(folder) / "ours", uri, trials=trials, epochs=1, seconds=0)
            table.add_row(f"{trials} trials of 0 s, raygenre", f"{ours:.1f}", "", words(memory))
            theirs, memory = stock_search(Path(folder) / "stock", uri, trials=trials)
            table.add_row(
                f"{trials} trials of 0 s, stock", f"{theirs:.1f}", f"{theirs / ours:.1f} times raygenre", words(memory)
            )
    console.print(table)


def words(memory: list[float]) -> str:
    return ", ".join(f"{value:.0f}" for value in memory)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
