"""Compares the cost of logging a search to MLflow with that of Ray's MLflowLoggerCallback.

Run from the project's folder (10 minutes on 2 cores, mostly for Ray's callback):
    .venv/bin/python -m benchmarks.tracking

raygenre and the callback log the same 100 trials with 50 epochs of 6 metrics each, sequentially and without training,
to separate MLflow servers on this machine. The measurement ends when the server has received all values, which are then
read back and compared. Real results of Ray Tune contain about ten more values, which Ray's callback also logs. Here,
the only additional value is `training_iteration`, which the callback requires. The exit status is 1 if Ray's callback
takes less than ten times as long as raygenre.
"""

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import requests
import typer
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.experiment import Trial
from rich.console import Console
from rich.table import Table

from benchmarks.orchestration import mlflow_server
from raygenre.search.trials.trial_result import METRICS
from raygenre.system.storage import resolve
from raygenre.tracking.server import Server
from raygenre.tracking.tracker import Tracker

NAMES = METRICS[:6]
EXPERIMENT = "stock"
MIN_SPEEDUP = 10.0  # speedup of the tracker relative to the stock callback

Values = dict[int, dict[str, list[tuple[int, float]]]]
"""For each trial and metric, the epochs and values."""


@dataclass(frozen=True)
class Cost:
    """The cost of logging.

    Attributes:
        seconds: time in s until the server had received all values.
        calls: number of HTTP requests.
        driver, server: CPU time in s.
    """

    seconds: float
    calls: int
    driver: float
    server: float


def value(trial: int, epoch: int, name: str) -> float:
    """Return a metric's value, which differs between epochs."""
    return (trial + 1) / (epoch + NAMES.index(name) / 8)


def epochs_of(trial: int, epochs: int) -> Iterator[dict[str, float]]:
    for epoch in range(1, epochs + 1):
        yield {name: value(trial, epoch, name) for name in NAMES} | {"epoch": epoch}


def log_with_tracker(folder: Path, uri: str, trials: int, epochs: int) -> None:
    """Log as a search does, through the spool and the sender."""
    tracker = Tracker(Server(resolve(folder, uri)), folder, "tracking")
    parent = tracker.start("tracking", "search")
    for number in range(trials):
        run = tracker.start(f"trial-{number:04d}", "trial", parent=parent, params=params(number))
        for row in epochs_of(number, epochs):
            tracker.log(run, {name: row[name] for name in NAMES}, step=int(row["epoch"]))
        tracker.end(run, "FINISHED")
    tracker.end(parent, "FINISHED")
    if not tracker.flush(60):
        raise RuntimeError(f"the MLflow server does not accept the values: {tracker.unreachable_reason}")
    tracker.close()


def log_with_callback(folder: Path, uri: str, trials: int, epochs: int) -> None:
    """Log the same values with Ray's own callback."""
    callback = MLflowLoggerCallback(tracking_uri=uri, experiment_name=EXPERIMENT)
    callback.setup()
    for number in range(trials):
        trial = Trial("tracking", config=params(number), stub=True, trial_id=f"{number:04d}")
        callback.log_trial_start(trial)
        for row in epochs_of(number, epochs):
            result: dict[str, Any] = {name: row[name] for name in NAMES} | {"training_iteration": int(row["epoch"])}
            callback.log_trial_result(int(row["epoch"]), trial, result)
        callback.log_trial_end(trial)


def params(number: int) -> dict[str, float]:
    return {"dropout": number / 1000, "learning_rate": 1 / (number + 1), "decay": 0.01}


def logged_values(folder: Path, uri: str, experiment: str) -> Values:
    """Read all values back from the server."""
    client = Server(resolve(folder, uri)).client
    stored = client.get_experiment_by_name(experiment)
    if stored is None:
        raise RuntimeError(f"the server has no experiment {experiment}")
    runs = client.search_runs([stored.experiment_id], "params.decay = '0.01'", max_results=10_000)
    return {
        round(float(run.data.params["dropout"]) * 1000): {
            name: sorted((metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, name))
            for name in NAMES
        }
        for run in runs
    }


@contextmanager
def count_requests() -> Iterator[list[int]]:
    """Count this process's HTTP requests, from all threads, in the first item of the yielded list."""
    calls, lock, send = [0], threading.Lock(), requests.Session.send

    def counting(*arguments: Any, **named: Any) -> Any:
        with lock:
            calls[0] += 1
        return send(*arguments, **named)

    requests.Session.send = counting  # type: ignore[method-assign]
    try:
        yield calls
    finally:
        requests.Session.send = send  # type: ignore[method-assign]


def cpu_of_children() -> float:
    """Return the CPU time of this process's descendants in seconds (only on Linux)."""
    parents: dict[int, int] = {}
    cpu: dict[int, float] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # the process has just exited
            continue
        parents[int(folder.name)] = int(fields[1])
        cpu[int(folder.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def is_descendant(process: int) -> bool:
        while process in parents:
            process = parents[process]
            if process == os.getpid():
                return True
        return False

    return sum(seconds for process, seconds in cpu.items() if is_descendant(process))


def measure(logger: str, trials: int, epochs: int) -> tuple[Cost, Values]:
    """Log the trials; return the cost, and the values that are on the server afterwards."""
    with tempfile.TemporaryDirectory() as scratch, mlflow_server(Path(scratch)) as uri, count_requests() as calls:
        started, driver, server = time.perf_counter(), time.process_time(), cpu_of_children()
        log = log_with_callback if logger == EXPERIMENT else log_with_tracker
        log(Path(scratch) / "driver", uri, trials, epochs)
        elapsed = time.perf_counter() - started
        cost = Cost(elapsed, calls[0], time.process_time() - driver, cpu_of_children() - server)
        return cost, logged_values(Path(scratch) / "driver", uri, logger)


def main(
    trials: Annotated[int, typer.Option(help="Number of trials.", min=1)] = 100,
    epochs: Annotated[int, typer.Option(help="Epochs of each trial.", min=1)] = 50,
) -> None:
    """Measure both loggers."""
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # printing a run's URL requires an additional request
    table = Table("logger", "s", "HTTP requests", "CPU s of the driver", "CPU s of the server")
    costs = []
    for logger in ("raygenre", EXPERIMENT):
        cost, logged = measure(logger, trials, epochs)
        expected = {
            trial: {name: [(epoch, value(trial, epoch, name)) for epoch in range(1, epochs + 1)] for name in NAMES}
            for trial in range(trials)
        }
        if logged != expected:
            raise RuntimeError(f"the values in MLflow differ from those that {logger} logged")
        costs.append(cost)
        table.add_row(logger, f"{cost.seconds:.1f}", f"{cost.calls}", f"{cost.driver:.1f}", f"{cost.server:.1f}")
    ours, stock = costs
    console = Console()
    console.print(table)
    times = stock.seconds / ours.seconds
    console.print(
        f"{trials * epochs * len(NAMES)} values each, identical on both servers; the stock callback took "
        f"{times:.1f} times as long",
        highlight=False,
    )
    if times < MIN_SPEEDUP:
        raise typer.Exit(1)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
