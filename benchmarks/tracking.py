"""What it costs to tell MLflow the values of a search: raygenre's tracker, and Ray's stock MLflowLoggerCallback.

Run, from the project's folder (10 minutes on 2 cores, nearly all of it the stock callback):
    .venv/bin/python -m benchmarks.tracking

Both are told the same of 100 trials with 50 epochs of 6 values each, one after another and without any training, and
each has an MLflow server of its own on this machine. The clock stops when the server has everything, which is then read
back and compared. Real results of Ray Tune hold some ten values more, which the stock callback logs as well; here they
hold the one that it cannot do without, `training_iteration`. Status 1 says that the stock callback took less than
ten times as long.
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
LEAST = 10.0  # times as long that the stock callback takes

Told = dict[int, dict[str, list[tuple[int, float]]]]
"""By trial and name, the values with their epochs."""


@dataclass(frozen=True)
class Cost:
    """What telling took.

    Attributes:
        seconds: s until the server had everything.
        calls: HTTP requests.
        driver, server: s of CPU time.
    """

    seconds: float
    calls: int
    driver: float
    server: float


def value(trial: int, epoch: int, name: str) -> float:
    """Some number that no other epoch has."""
    return (trial + 1) / (epoch + NAMES.index(name) / 8)


def epochs_of(trial: int, epochs: int) -> Iterator[dict[str, float]]:
    for epoch in range(1, epochs + 1):
        yield {name: value(trial, epoch, name) for name in NAMES} | {"epoch": epoch}


def tell(folder: Path, uri: str, trials: int, epochs: int) -> None:
    """As the search does, through the spool and the sender."""
    tracker = Tracker(resolve(folder, uri), folder, "tracking")
    parent = tracker.start("tracking", "search")
    for number in range(trials):
        run = tracker.start(f"trial-{number:04d}", "trial", parent=parent, params=params(number))
        for row in epochs_of(number, epochs):
            tracker.log(run, {name: row[name] for name in NAMES}, step=int(row["epoch"]))
        tracker.end(run, "FINISHED")
    tracker.end(parent, "FINISHED")
    if not tracker.flush(60):
        raise RuntimeError(f"MLflow does not take it: {tracker.unreachable_reason}")
    tracker.close()


def tell_by_stock(folder: Path, uri: str, trials: int, epochs: int) -> None:
    """The same through Ray's own callback."""
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


def told(folder: Path, uri: str, experiment: str) -> Told:
    """Everything that the server has, read back."""
    client = Server(resolve(folder, uri)).client
    found = client.get_experiment_by_name(experiment)
    if found is None:
        raise RuntimeError(f"there is no experiment {experiment}")
    runs = client.search_runs([found.experiment_id], "params.decay = '0.01'", max_results=10_000)
    return {
        round(float(run.data.params["dropout"]) * 1000): {
            name: sorted((one.step, one.value) for one in client.get_metric_history(run.info.run_id, name))
            for name in NAMES
        }
        for run in runs
    }


@contextmanager
def counted() -> Iterator[list[int]]:
    """Count the HTTP requests of this process, in all its threads."""
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
    """CPU s of the processes that this one has started, and of theirs; on Linux."""
    parents: dict[int, int] = {}
    spent: dict[int, float] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        parents[int(folder.name)] = int(fields[1])
        spent[int(folder.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ours(process: int) -> bool:
        while process in parents:
            process = parents[process]
            if process == os.getpid():
                return True
        return False

    return sum(seconds for process, seconds in spent.items() if ours(process))


def measured(which: str, trials: int, epochs: int) -> tuple[Cost, Told]:
    with tempfile.TemporaryDirectory() as scratch, mlflow_server(Path(scratch)) as uri, counted() as calls:
        started, driver, server = time.perf_counter(), time.process_time(), cpu_of_children()
        (tell_by_stock if which == EXPERIMENT else tell)(Path(scratch) / "driver", uri, trials, epochs)
        took = time.perf_counter() - started
        cost = Cost(took, calls[0], time.process_time() - driver, cpu_of_children() - server)
        return cost, told(Path(scratch) / "driver", uri, which)


def main(
    trials: Annotated[int, typer.Option(help="Trials to tell of.", min=1)] = 100,
    epochs: Annotated[int, typer.Option(help="Of each trial.", min=1)] = 50,
) -> None:
    """Measure both."""
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # which would ask for each run once more
    table = Table("told by", "s", "HTTP calls", "CPU s of the driver", "CPU s of the server")
    costs = []
    for which in ("raygenre", EXPERIMENT):
        cost, there = measured(which, trials, epochs)
        expected = {
            trial: {name: [(epoch, value(trial, epoch, name)) for epoch in range(1, epochs + 1)] for name in NAMES}
            for trial in range(trials)
        }
        if there != expected:
            raise RuntimeError(f"MLflow does not hold what {which} told it")
        costs.append(cost)
        table.add_row(which, f"{cost.seconds:.1f}", f"{cost.calls}", f"{cost.driver:.1f}", f"{cost.server:.1f}")
    ours, stock = costs
    console = Console()
    console.print(table)
    times = stock.seconds / ours.seconds
    console.print(
        f"{trials * epochs * len(NAMES)} values each, the same on both servers; the stock callback took "
        f"{times:.1f} times as long",
        highlight=False,
    )
    if times < LEAST:
        raise typer.Exit(1)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
