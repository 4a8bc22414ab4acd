"""The final training: the winner's setting on all training tracks, with all cores that the trials had together."""

from dataclasses import dataclass, replace

import numpy as np
import ray

from raygenre.errors import RaygenreError
from raygenre.search.space.config import Resources
from raygenre.search.study.ledger import CHECKPOINT, Ledger
from raygenre.search.trials.finalists import Finalist, result
from raygenre.search.trials.recorder import METRICS
from raygenre.search.trials.trainable import Plan, Tracks, train_on_all
from raygenre.search.trials.trial_config import trial_seed
from raygenre.system.location import Location
from raygenre.tracking.tracker import Tracker

_SEED = 2_000_000  # the final training's place in the row of seeds
_MOST_THREADS = 8  # a step works on eight tracks at a time, and more threads would share one


class TrainingFailedError(RaygenreError, RuntimeError):
    """The winner's training ended without a network; the message says why."""


@dataclass(frozen=True)
class Final:
    """The winner's training on all training tracks.

    Attributes:
        name: of the run and of the place.
        place: with the training state of its last epoch.
        run: its key, see `Tracker`; the run is still open.
    """

    name: str
    place: Location
    run: str


def train_final(
    winner: Finalist,
    ledger: Ledger,
    plan: Plan,
    tracks: "ray.ObjectRef[Tracks]",
    *,
    resources: Resources,
    tracker: Tracker,
    parent: str,
) -> Final:
    """Train the winner's setting on all training tracks.

    The MLflow run is left open for the evaluation.

    Raises:
        TrainingFailedError: the training diverged, or had too little memory.
    """
    epochs = max(1, round(float(np.mean(winner.epochs))))
    seed = trial_seed(ledger.config.seed, _SEED)
    name = f"final-{winner.number:04d}-{epochs}"  # a resumed study with more trials may find another winner
    place = ledger.place / name
    run = tracker.start(
        name,
        "final",
        parent=parent,
        params=ledger.trials[winner.number].params,
        tags={"seed": seed, "epochs": epochs, "trial": winner.number, CHECKPOINT: place},
    )
    cpus = max(resources.cpus, min(resources.final_cpus, _MOST_THREADS))
    plan = replace(plan, epochs=epochs, threads=max(1, int(cpus)))
    task = ray.remote(num_cpus=cpus, num_gpus=resources.gpus, max_retries=3)(train_on_all)
    rows, failure, about = result(task.remote(plan, winner.setting, [tracks], seed, place))
    tracker.tag(run, about)
    keys = [key for key in (*METRICS, "epoch") if "validation" not in key]  # no track is left for that
    tracker.log_missing(run, [{key: row[key] for key in keys} for row in rows])
    if failure:
        tracker.end(run, "FAILED", tags={"failure": failure})
        raise TrainingFailedError(failure)
    return Final(name, place, run)
