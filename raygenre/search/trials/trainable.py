"""Trains one setting on a Ray worker: for a trial, a repeat or the final training."""

import math
import platform
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from ray.exceptions import RayError

from raygenre.search.space import objectives
from raygenre.search.space.space import Setting
from raygenre.search.trials.out_of_memory import error_line, oom_reason
from raygenre.search.trials.trial_config import TrialConfig
from raygenre.search.trials.trial_result import EpochResult, TrialResult
from raygenre.system import code_version
from raygenre.system.location import Location
from raygenre.training import checkpoint
from raygenre.training.divergence import DivergedError, check_loss
from raygenre.training.environment import compute_environment
from raygenre.training.loop import EpochMetrics, fit
from raygenre.training.member import Indices, Inputs, Member, fitted


@dataclass(frozen=True)
class Tracks:
    """The tracks to train on. They are in Ray's object store, so workers read them without copying.

    Attributes:
        inputs: levels, uint8 (N, 128, 333), or features, float32 (N, F), of the whole data set.
        labels: class of each track, int64 (N,).
        folds: positions of the training and validation tracks of each fold.
    """

    inputs: Inputs
    labels: NDArray[np.int64]
    folds: tuple[tuple[Indices, Indices], ...]


@dataclass(frozen=True)
class Plan:
    """The values that all training runs of one search share.

    Attributes:
        genres: number of classes.
        epochs: number of epochs of each training run.
        threads: number of torch threads in each worker.
        device: `cpu` or `cuda`.
        objectives: what the search optimises; see `raygenre.search.space.objectives`.
    """

    genres: int
    epochs: int
    threads: int
    device: str
    objectives: tuple[str, ...] = ("loss",)


def make_members(plan: Plan, setting: Setting, tracks: Tracks, *, seed: int) -> list[Member]:
    """Create an untrained member for each fold, and set the number of torch threads in this process."""
    torch.set_num_threads(plan.threads)
    return [
        Member(
            fitted(setting.model(plan.genres), tracks.inputs, train),
            setting.training(),
            seed=seed + fold,
            train=train,
            validation=validation,
            device=torch.device(plan.device),
        )
        for fold, (train, validation) in enumerate(tracks.folds)
    ]


def train(
    members: Sequence[Member],
    tracks: Tracks,
    *,
    epochs: int,
    location: Location,
    is_pausing: Callable[[], bool] = lambda: False,
) -> Iterator[EpochResult]:
    """Train the members of one setting, one per fold, and yield the result of each epoch.

    The training state is saved before an epoch is yielded. If the location already holds a state, training resumes
    from it, and the earlier epochs are yielded again from its history.

    Args:
        is_pausing: called before each epoch; if it returns True, training ends.

    Raises:
        DivergedError: training diverges, or ends with a loss far above that of guessing.
        OSError: the state cannot be written or read.
    """
    with checkpoint.local_copy(location) as folder:
        saved = checkpoint.latest(folder)
        history = checkpoint.restore(saved, members) if saved else []
        progress = fit(tracks.inputs, tracks.labels, members, epochs=epochs)
        results = epoch_results(history)
        yield from results
        for _ in range(len(results), epochs):
            if is_pausing():
                return
            history += [next(progress) for _ in members]
            result = epoch_results(history)[-1]
            if result.epoch == epochs:
                _check_outcome(result, genres=members[0].model.config.genres)
            for member in members:
                if member.training.uses_last_epoch or result.validation_loss == result.best_validation_loss:
                    member.chosen_logits = member.validation_logits
            checkpoint.upload(checkpoint.save(folder, members, history), location)
            yield result


def _check_outcome(last: EpochResult, *, genres: int) -> None:
    """Raise DivergedError if a training run ends with a loss far above that of guessing."""
    where = f"after {last.epoch} epochs"
    if math.isfinite(last.best_validation_loss):
        check_loss(last.best_validation_loss, genres=genres, name="best validation", where=where)
    else:  # there are no validation tracks
        check_loss(last.train_loss, genres=genres, name="training", where=where)


def recorded_epochs(location: Location) -> list[EpochResult]:
    """Return the result of each epoch in a saved training state."""
    with checkpoint.local_copy(location) as folder:
        saved = checkpoint.latest(folder)
        return epoch_results(checkpoint.history(saved)) if saved else []


def epoch_results(history: Sequence[EpochMetrics]) -> list[EpochResult]:
    """Return the result of each epoch in a history."""
    results: list[EpochResult] = []
    for epoch in range(1, max((metrics.epoch for metrics in history), default=0) + 1):
        best = results[-1].best_validation_loss if results else math.inf
        results.append(EpochResult.of([metrics for metrics in history if metrics.epoch == epoch], best))
    return results


def run_trial(config: dict[str, Any], *, plan: Plan, shared: "Sequence[ray.ObjectRef[Tracks]]") -> None:
    """Train the setting of a `TrialConfig` and report a `TrialResult` after each epoch.

    A resumed trial reports its earlier epochs again; the recorder skips those that it already has. Exceptions are
    reported as a `failure` instead of being raised, because Ray would retry the trial. Only errors of Ray itself
    are raised, such as the loss of the machine that holds the tracks. A full or read-only disk is reported as a `halt`,
    because the setting is not the cause.
    """
    from ray import tune  # also imports pandas and Ray Data, which other workers do not need

    def report(result: TrialResult) -> None:
        tune.report(result.to_dict())

    trial = TrialConfig.from_dict(config)
    if trial.failure:
        report(TrialResult(failure=trial.failure))
        return
    results: list[EpochResult] = []
    try:
        tracks: Tracks = ray.get(shared[0])
        members = make_members(plan, trial.setting, tracks, seed=trial.seed)
        for result in train(members, tracks, epochs=plan.epochs, location=trial.state):
            results.append(result)
            measured: dict[str, float] = {}
            if result.epoch == plan.epochs and objectives.is_multi_objective(plan.objectives):
                measured = objectives.measure(plan.objectives, members[0].model, [epoch.row for epoch in results])
            environment = environment_tags(members) if len(results) == 1 else {}
            report(TrialResult(epoch=result, objectives=measured, environment=environment))
    except RayError:
        raise
    except DivergedError as error:
        report(TrialResult(failure=str(error)))
    except OSError as error:
        node = platform.node()
        report(TrialResult(halt=f"trial {trial.number} cannot use its training state on the node {node}: {error}"))
    except Exception as error:  # noqa: BLE001 (reported with its traceback; only this trial fails)
        report(TrialResult(failure=oom_reason(error) or error_line(error), traceback=traceback.format_exc()))


def merge_folds(tracks: Tracks) -> Tracks:
    """Return the tracks with a single fold that trains on all of them and validates on none."""
    everything = np.sort(np.concatenate(tracks.folds[0]))
    return replace(tracks, folds=((everything, np.empty(0, dtype=np.int64)),))


def environment_tags(members: Sequence[Member]) -> dict[str, str]:
    """Return the device, threads, versions and code used to train the members."""
    return compute_environment(members[0].device, members[0].training.precision) | code_version.version_tags()
