"""One training of one setting, wherever Ray puts it: as a trial, as a re-run of a finalist or as the final one."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray

from raygenre.search.space import objectives
from raygenre.search.space.space import Setting
from raygenre.search.trials.out_of_memory import oom_reason
from raygenre.system import code_version
from raygenre.system.location import Location
from raygenre.training import checkpoint
from raygenre.training.environment import surroundings
from raygenre.training.loop import EpochMetrics, Indices, Member, NonFiniteLossError, fit, standardised

Rows = list[dict[str, float]]
"""What `summary` says of each epoch of a training."""

Training = tuple[Rows, str, dict[str, str]]
"""The epochs of a training, why it ended early if it did, and its `surroundings`."""

OBJECTIVE = "best_validation_loss"
"""The lowest validation loss so far, mean over folds: what the search minimises."""


@dataclass(frozen=True)
class Tracks:
    """The training part of a data set as it lies in Ray's object store; workers read it in place.

    Attributes:
        levels: uint8 (N, 128, 333) of the whole data set.
        labels: int64 (N,).
        folds: training and validation positions of each fold.
    """

    levels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    folds: tuple[tuple[Indices, Indices], ...]


@dataclass(frozen=True)
class Plan:
    """What the trainings of one search have in common.

    Attributes:
        genres: number of classes.
        epochs: of each training.
        threads: of torch in each worker.
        device: `cpu` or `cuda`.
        objectives: what the search seeks, see `raygenre.search.space.objectives`.
    """

    genres: int
    epochs: int
    threads: int
    device: str
    objectives: tuple[str, ...] = ("loss",)


def start(plan: Plan, setting: Setting, tracks: Tracks, *, seed: int) -> list[Member]:
    """Make a fresh member for each fold, and set the process's threads."""
    torch.set_num_threads(plan.threads)
    return [
        Member(
            standardised(setting.model(plan.genres), tracks.levels, train),
            setting.training(),
            seed=seed + fold,
            train=train,
            validation=validation,
            device=torch.device(plan.device),
        )
        for fold, (train, validation) in enumerate(tracks.folds)
    ]


def train(members: Sequence[Member], tracks: Tracks, *, epochs: int, place: Location) -> Iterator[dict[str, float]]:
    """Train one setting's fresh members, one for each fold, and yield `summary` of each epoch.

    The state is kept in `place` before an epoch is yielded. If there is a state, training goes on from it, and the
    epochs before it are yielded again from the record.

    Raises:
        NonFiniteLossError: the training diverged.
        OSError: the state cannot be written or read.
    """
    with checkpoint.local_copy(place) as folder:
        saved = checkpoint.latest(folder)
        history = checkpoint.restore(saved, members) if saved else []
        progress = fit(tracks.levels, tracks.labels, members, epochs=epochs)
        rows = summaries(history)
        yield from rows
        for _ in range(len(rows), epochs):
            history += [next(progress) for _ in members]
            row = summaries(history)[-1]
            if row["validation_loss"] == row[OBJECTIVE]:
                for member in members:
                    member.best_logits = member.validation_logits
            checkpoint.upload(checkpoint.save(folder, members, history), place)
            yield row


def recorded(place: Location) -> Rows:
    """Return `summary` of each epoch that a training left in its place."""
    with checkpoint.local_copy(place) as folder:
        saved = checkpoint.latest(folder)
        return summaries(checkpoint.history(saved)) if saved else []


def summaries(history: Sequence[EpochMetrics]) -> Rows:
    """Return `summary` of each epoch in a history."""
    rows: Rows = []
    for epoch in range(1, max((metrics.epoch for metrics in history), default=0) + 1):
        best = rows[-1][OBJECTIVE] if rows else math.inf
        rows.append(summary([metrics for metrics in history if metrics.epoch == epoch], best))
    return rows


def summary(rows: Sequence[EpochMetrics], best: float) -> dict[str, float]:
    """One epoch as it is reported: the mean over folds, the objective first; times are sums, speed is per training."""

    def mean(name: str) -> float:
        return float(np.mean([getattr(row, name) for row in rows]))

    return {
        OBJECTIVE: min(best, mean("validation_loss")),
        "epoch": rows[0].epoch,
        "validation_loss": mean("validation_loss"),
        "validation_accuracy": mean("validation_accuracy"),
        "train_loss": mean("train_loss"),
        "train_accuracy": mean("train_accuracy"),
        "learning_rate": rows[0].learning_rate,
        "seconds": sum(row.seconds for row in rows),
        "images_per_second": mean("images_per_second"),
    }


def run_trial(config: dict[str, Any], *, plan: Plan, shared: "Sequence[ray.ObjectRef[Tracks]]") -> None:
    """Ray Tune's trainable.

    `config` holds `setting`, `fixed`, `seed` and `place`, and `failure` once a worker of the trial was killed for its
    memory. A training that goes on reports its epochs from the first again; the recorder knows which ones it has. The
    first report says with `surroundings` where and how the trial computes. A
    training that diverged or ran out of memory is reported as `failure`, since Ray would start a raised one again; a
    disk that is full or read-only as `halt`, since it is not the setting's fault.
    """
    from ray import tune  # with pandas and Ray Data behind it, which the workers of other trainings do without

    if "failure" in config:
        tune.report({"failure": config["failure"]})
        return
    tracks: Tracks = ray.get(shared[0])
    setting = Setting(**config["fixed"], **config["setting"])
    rows: Rows = []
    try:
        members = start(plan, setting, tracks, seed=config["seed"])
        for row in train(members, tracks, epochs=plan.epochs, place=Location(config["place"])):
            about = {} if rows else {"surroundings": environment_tags(members)}
            rows.append(row)
            ends = row["epoch"] == plan.epochs and objectives.several(plan.objectives)
            measured = objectives.measure(plan.objectives, members[0].model, rows) if ends else {}
            tune.report({**row, **measured, **about})
    except NonFiniteLossError as error:
        tune.report({"failure": str(error)})
    except OSError as error:
        tune.report({"halt": f"trial {config['number']} cannot write its training state: {error}"})
    except (RuntimeError, MemoryError) as error:
        tune.report({"failure": oom_reason(error)})


def train_again(
    plan: Plan, setting: Setting, shared: "list[ray.ObjectRef[Tracks]]", seed: int, place: Location
) -> Training:
    """Ray task: a re-run's epochs, why it ended early if it did, and its surroundings."""
    return _epochs(plan, setting, ray.get(shared[0]), seed, place)


def train_on_all(
    plan: Plan, setting: Setting, shared: "list[ray.ObjectRef[Tracks]]", seed: int, place: Location
) -> Training:
    """Ray task: train on training and validation tracks together; the weights stay in the place's training state."""
    return _epochs(plan, setting, merge_folds(ray.get(shared[0])), seed, place)


def merge_folds(tracks: Tracks) -> Tracks:
    """All tracks of the training part as those of a single fold that validates on none."""
    everything = np.sort(np.concatenate(tracks.folds[0]))
    return replace(tracks, folds=((everything, np.empty(0, dtype=np.int64)),))


def environment_tags(members: Sequence[Member]) -> dict[str, str]:
    """Where, how and with which code the members of one training compute."""
    return surroundings(members[0].device, members[0].training.precision) | code_version.stamp()


def _epochs(plan: Plan, setting: Setting, tracks: Tracks, seed: int, place: Location) -> Training:
    rows: Rows = []
    about: dict[str, str] = {}
    try:
        members = start(plan, setting, tracks, seed=seed)
        about = environment_tags(members)
        for row in train(members, tracks, epochs=plan.epochs, place=place):
            rows.append(row)
    except NonFiniteLossError as error:
        return rows, str(error), about
    except (RuntimeError, MemoryError) as error:
        return rows, oom_reason(error), about
    return rows, "", about
