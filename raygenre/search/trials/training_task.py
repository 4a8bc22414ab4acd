"""Training runs as Ray tasks: functions that workers execute, and one that awaits results."""

import time
from dataclasses import dataclass, field

import ray
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayTaskError, TaskCancelledError, WorkerCrashedError

from raygenre.search.space.space import Setting
from raygenre.search.trials.failure_reason import WORKER_DIED
from raygenre.search.trials.out_of_memory import KILLED, error_line, oom_reason
from raygenre.search.trials.pause_signal import PauseSignal
from raygenre.search.trials.trainable import Plan, Tracks, environment_tags, make_members, merge_folds, train
from raygenre.search.trials.trial_result import EpochResult
from raygenre.system.location import Location
from raygenre.training.divergence import DivergedError


@dataclass(frozen=True)
class Training:
    """The outcome of a repeat or of the final training.

    Attributes:
        epochs: results of the trained epochs.
        failure: why training failed; empty if it succeeded.
        environment: device, threads, versions and code of the worker.
        started, ended: times on the worker's clock, in s since 1970; None if the worker died.
        traceback: traceback of an unexpected exception.
        paused: whether the run was asked to pause before its last epoch.
    """

    epochs: list[EpochResult]
    failure: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    started: float | None = None
    ended: float | None = None
    traceback: str = ""
    paused: bool = False


def train_repeat(
    plan: Plan,
    setting: Setting,
    shared: "list[ray.ObjectRef[Tracks]]",
    seed: int,
    location: Location,
    signal: PauseSignal,
) -> Training:
    """Ray task: train a finalist's setting on a new seed."""
    signal.note_started()
    return _train(plan, setting, ray.get(shared[0]), seed, location, signal)


def train_on_all(
    plan: Plan,
    setting: Setting,
    shared: "list[ray.ObjectRef[Tracks]]",
    seed: int,
    location: Location,
    signal: PauseSignal,
) -> Training:
    """Ray task: train on the training and validation tracks together, and store the weights in the training state."""
    signal.note_started()
    return _train(plan, setting, merge_folds(ray.get(shared[0])), seed, location, signal)


def wait_for(training: "ray.ObjectRef[Training]") -> Training:
    """Wait for a training run and return its outcome.

    A worker or node that died, or an exception in the worker, counts as a failure.

    Raises:
        OSError: the worker cannot write its training state.
    """
    try:
        return ray.get(training)
    except TaskCancelledError:  # see PauseSignal.pause
        return Training([], paused=True)
    except OutOfMemoryError:
        return Training([], KILLED)
    except (WorkerCrashedError, NodeDiedError):
        return Training([], WORKER_DIED)
    except RayTaskError as error:
        if isinstance(error.cause, OSError):
            raise error.cause from None
        return Training([], error_line(error.cause), traceback=str(error))


def _train(
    plan: Plan, setting: Setting, tracks: Tracks, seed: int, location: Location, signal: PauseSignal
) -> Training:
    started = time.time()
    results: list[EpochResult] = []
    environment: dict[str, str] = {}
    failure = ""
    try:
        members = make_members(plan, setting, tracks, seed=seed)
        environment = environment_tags(members)
        for result in train(members, tracks, epochs=plan.epochs, location=location, is_pausing=signal.is_requested):
            results.append(result)
    except DivergedError as error:
        failure = str(error)
    except (RuntimeError, MemoryError) as error:
        failure = oom_reason(error)
        if not failure:
            raise
    paused = not failure and len(results) < plan.epochs
    return Training(results, failure, environment, started=started, ended=time.time(), paused=paused)
