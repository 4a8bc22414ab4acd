"""The final training, which uses the winner's setting, all training tracks and all cores."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import ray

from raygenre.errors import RaygenreError
from raygenre.search.controls import SearchStopped
from raygenre.search.space.config import Resources
from raygenre.search.study.ledger import CHECKPOINT, Ledger
from raygenre.search.trials.failure_reason import WORKER_DIED
from raygenre.search.trials.finalists import Finalist
from raygenre.search.trials.pause_signal import FOLDER, PauseSignal
from raygenre.search.trials.phases import Phase
from raygenre.search.trials.places import Places
from raygenre.search.trials.recorder import ERROR_FILE
from raygenre.search.trials.saved_epochs import POLL, poll_interval, saved_epochs
from raygenre.search.trials.search_timer import SearchTimer
from raygenre.search.trials.trainable import Plan, Tracks
from raygenre.search.trials.training_task import Training, train_on_all, wait_for
from raygenre.search.trials.trial_config import trial_seed
from raygenre.search.trials.trial_result import METRICS
from raygenre.system.location import Location
from raygenre.tracking.tracker import Tracker

_SEED = 2_000_000  # seed number of the final training; those of trials start at 0, and those of repeats at 1 000 000
_MAX_THREADS = 8  # each step trains on eight tracks in parallel, so more threads would have to share tracks


class TrainingFailedError(RaygenreError, RuntimeError):
    """The final training did not produce a network; the message explains why."""


@dataclass(frozen=True)
class FinalTraining:
    """The final training of the winner on all training tracks.

    Attributes:
        name: name of the run and its folder.
        location: location of the training state after the last epoch.
        run: key of the MLflow run, which is still open; see `Tracker`.
    """

    name: str
    location: Location
    run: str


def final_epochs(winner: Finalist) -> int:
    """Return the number of epochs of the final training: the mean epoch of the winner's repeats."""
    return max(1, round(float(np.mean(winner.epochs))))


def final_cpus(resources: Resources) -> float:
    """Return the number of CPUs that the final training uses."""
    return max(resources.cpus, min(resources.final_cpus, _MAX_THREADS))


def train_final(
    winner: Finalist,
    ledger: Ledger,
    plan: Plan,
    tracks: "ray.ObjectRef[Tracks]",
    *,
    resources: Resources,
    tracker: Tracker,
    parent: str,
    phase: Phase,
    timer: SearchTimer,
    places: Places,
) -> FinalTraining:
    """Train the winner's setting on all training tracks.

    The MLflow run stays open so that the evaluation can be added.

    Args:
        parent: key of the search's MLflow run.
        phase: the phase that displays the epochs.

    Raises:
        SearchStopped: the search was asked to stop, and the epoch in progress has ended.
        TrainingFailedError: training diverged, ran out of memory or raised an unexpected exception.
        OSError: the worker cannot write its training state.
    """
    epochs = final_epochs(winner)
    seed = trial_seed(ledger.config.seed, _SEED)
    name = f"final-{winner.number:04d}-{epochs}"  # a resumed study with more trials may have a different winner
    location = ledger.location / name
    run = tracker.start(
        name,
        "final",
        parent=parent,
        params=ledger.trial(winner.number).params,
        tags={"seed": seed, "epochs": epochs, "trial": winner.number, CHECKPOINT: location},
    )
    cpus = final_cpus(resources)
    plan = replace(plan, epochs=epochs, threads=max(1, int(cpus)))
    task = ray.remote(num_cpus=cpus, num_gpus=resources.gpus, max_retries=3)(train_on_all)
    signal = PauseSignal(ledger.location / FOLDER / name)
    timer.final_started(winner.number, epochs)
    phase.update(0, epochs, "epochs")

    def on_epochs(saved: int) -> None:
        timer.final_progressed(saved)
        phase.update(saved, epochs, "epochs")

    while True:
        _wait_for_place(places, cpus, ledger.name)
        signal.clear()
        before = saved_epochs(location)
        running = task.remote(plan, winner.setting, [tracks], seed, location, signal)
        training = _watch(running, location, signal, places, cpus, on_epochs)
        lost = training.failure == WORKER_DIED and saved_epochs(location) > before  # as happens on a spot node
        signal.clear()
        if not training.paused and not lost:
            break
        timer.final_paused()
    tracker.set_tags(run, training.environment)
    names = [name for name in METRICS if "validation" not in name]  # no validation tracks are left
    tracker.log_missing(run, [{name: epoch.row[name] for name in (*names, "epoch")} for epoch in training.epochs])
    if training.failure:
        if training.traceback:
            tracker.log_text(run, training.traceback, ERROR_FILE)
        tracker.end(run, "FAILED", tags={"failure": training.failure})
        raise TrainingFailedError(training.failure)
    return FinalTraining(name, location, run)


def _wait_for_place(places: Places, cpus: float, study: str) -> None:
    """Wait until a place is available to the search.

    Raises:
        SearchStopped: the search was asked to stop.
    """
    while not places.fits(0):
        if places.controls.stopping:
            raise SearchStopped(study)
        places.report("final", wanted=1, cpus=cpus)
        time.sleep(POLL)


def _watch(
    running: "ray.ObjectRef[Training]",
    location: Location,
    signal: PauseSignal,
    places: Places,
    cpus: float,
    on_epochs: Callable[[int], None],
) -> Training:
    """Wait until the training ends, and pause it if it loses its place."""
    polled, is_pausing = time.monotonic(), False
    while not ray.wait([running], timeout=POLL)[0]:
        places.report("final", wanted=1, running=1, cpus=cpus)
        if not is_pausing and not places.fits(0):
            is_pausing = True
            signal.pause(running)
        if time.monotonic() - polled >= poll_interval(location) / 2:
            polled = time.monotonic()
            on_epochs(saved_epochs(location))
    return wait_for(running)
