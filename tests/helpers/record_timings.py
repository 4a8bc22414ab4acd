"""Records the timings of a finished search, for testing the estimate of the remaining time.

Run from the project's folder to add a storage's only search to timings.json:
    .venv/bin/python -m tests.helpers.record_timings NAME FOLDER

The times come from the search's runs in MLflow. Repeats and the final training are logged to MLflow only when they end.
A running search polls their training states to follow their progress. This script reconstructs that progress from the
epoch durations instead.
"""

import json
import os
import sys
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np
from mlflow.entities import Metric
from mlflow.entities import Run as MlflowRun
from mlflow.tracking import MlflowClient

from raygenre.registry.versions import MODEL
from raygenre.search.run import work
from raygenre.search.space.config import Resources
from raygenre.search.study.backend import latest_study
from raygenre.search.study.ledger import Ledger
from raygenre.search.study.mlflow_ids import trial_name
from raygenre.search.trials.saved_epochs import POLL
from raygenre.search.trials.timings import Observed, Run
from raygenre.system.storage import resolve
from raygenre.tracking.server import Server
from tests.helpers.timings import TIMINGS


def _record(name: str, root: Path) -> None:
    """Add the only search in a storage to timings.json."""
    storage = resolve(root)
    ledger = Ledger.open(storage.studies, latest_study(storage.studies), url=None)
    cores = os.cpu_count() or 1
    plan = work(ledger, Resources(1, 0, final_cpus=cores), slots=cores)
    seen, ended = _observed(ledger, Server(storage).client, plan.slots)
    recorded = json.loads(TIMINGS.read_text()) if TIMINGS.exists() else {}
    recorded[name] = {"work": asdict(plan), "observed": asdict(seen), "ended": ended}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(search)}" for name, search in recorded.items())
    TIMINGS.write_text(f"{{\n{lines}\n}}\n")


def _observed(ledger: Ledger, client: MlflowClient, slots: int) -> tuple[Observed, float]:
    """Return a search's observations and end time; all times are in s since its run started."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = {str(run.info.run_name): run for run in client.search_runs(experiments)}
    zero = runs[ledger.name].info.start_time

    def since(milliseconds: int | None) -> float:
        assert milliseconds
        return round(float(milliseconds - zero) / 1000, 2)

    def values(run: MlflowRun, metric: str) -> list[float]:
        return [value.value for value in _history(client, run, metric)]

    def logged(run: MlflowRun, metric: str) -> list[float]:
        return [since(value.timestamp) for value in _history(client, run, metric)]

    trials = []
    for number in range(len(ledger.trials)):
        run = runs[trial_name(number)]
        ends, [first, *_] = logged(run, "seconds"), values(run, "seconds")
        marks = ((round(ends[0] - first, 2), 0), *((end, epoch) for epoch, end in enumerate(ends, start=1)))
        loss, best = min((loss, epoch) for epoch, loss in enumerate(values(run, "validation_loss"), start=1))
        trials.append(Run(number, since(run.info.start_time), marks, since(run.info.end_time), loss, best))
    finalists = sorted((since(run.info.end_time), name) for name, run in runs.items() if name.startswith("finalist-"))
    [final] = [run for name, run in runs.items() if name.startswith("final-")]
    [version] = client.search_model_versions(f"name = '{MODEL}'")
    phases = {
        "trials": 0.0,
        "repeats": max(trial.ended or 0.0 for trial in trials),
        "final": since(final.info.start_time),
        "evaluation": logged(final, "seconds")[0],
        "registration": logged(final, "test_accuracy")[0],
        "champion": since(version.creation_timestamp),
    }
    repeats = []
    starts = [phases["repeats"]] * slots + [end for end, _ in finalists]
    for started, (end, name) in zip(starts, finalists, strict=False):
        run = runs[name]
        _, best = min((loss, epoch) for epoch, loss in enumerate(values(run, "validation_loss"), start=1))
        marks = _checks(started, end, values(run, "seconds"))
        repeats.append(Run(int(run.data.tags["trial"]), started, marks, end, best_epoch=best))
    seconds = values(final, "seconds")
    marks = _checks(phases["final"], phases["evaluation"], seconds)
    last = Run(int(final.data.tags["trial"]), phases["final"], marks)
    return Observed(phases, trials, repeats, last, len(seconds)), since(version.last_updated_timestamp)


def _checks(started: float, ended: float, seconds: list[float]) -> tuple[tuple[float, int], ...]:
    """Return the progress that regular polling would have observed, given the run's end and epoch durations."""
    ends = [ended - sum(seconds[epoch:]) for epoch in range(1, len(seconds))]
    counts = [(round(at, 2), sum(end <= at for end in ends)) for at in np.arange(started, ended, POLL).tolist()]
    return tuple(after for before, after in pairwise(counts) if after[1] > before[1])


def _history(client: MlflowClient, run: MlflowRun, metric: str) -> list[Metric]:
    return sorted(client.get_metric_history(run.info.run_id, metric), key=lambda value: value.step)


if __name__ == "__main__":
    _record(sys.argv[1], Path(sys.argv[2]))
