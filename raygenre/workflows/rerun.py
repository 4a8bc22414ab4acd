"""Replay a recorded run: repeat its training from MLflow's record, and compare the curves.

The record consists of the run's params and tags, and the search's `run.yaml` and `split.json`. The same setting, seed
and tracks produce the same curve, bit for bit, in float32 and in bfloat16, provided that the package versions and the
environment are the same. Differences in the versions or the environment are
reported.
"""

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from raygenre.data import splits
from raygenre.data.dataset import Dataset
from raygenre.data.inputs import inputs_of
from raygenre.data.splits import Split
from raygenre.errors import RaygenreError
from raygenre.inputs import kinds
from raygenre.search.space import config_file
from raygenre.search.space.config import SearchConfig
from raygenre.search.space.space import Value, parse_entry
from raygenre.search.trials.trainable import Plan, Tracks, environment_tags, make_members, merge_folds, train
from raygenre.search.trials.trial_result import OBJECTIVE
from raygenre.system.location import Location
from raygenre.tracking.server import Server
from raygenre.tracking.server_errors import TrackingError, is_missing

Rows = list[dict[str, float]]
"""For each epoch, its number as `epoch` and its metrics by name."""

TOLERANCE = 1e-6
"""Values that differ by no more than this are considered equal."""

COMPARED = (OBJECTIVE, "validation_loss", "validation_accuracy", "train_loss", "train_accuracy", "learning_rate")
_TRAINING_ROLES = ("trial", "finalist", "final")
_NOT_RECORDED = "not recorded"


class RerunError(RaygenreError, ValueError):
    """A run cannot be replayed; the message explains why."""


@dataclass(frozen=True)
class RunRecord:
    """MLflow's record of a training run.

    Attributes:
        run_id, name, role: id, name and role of the run.
        config: configuration of the search, with the path and digest of the data.
        split: split of the search.
        params: values of the parameters in the search space.
        seed: seed of the training run.
        curve: learning curve.
        tags: tags of the search, overridden by those of the run; they include the versions and the environment.
    """

    run_id: str
    name: str
    role: str
    config: SearchConfig
    split: Split
    params: dict[str, Value]
    seed: int
    curve: Rows
    tags: dict[str, str]


@dataclass(frozen=True)
class Difference:
    """A difference from the recorded run."""

    what: str
    before: str
    now: str

    def __str__(self) -> str:
        return f"{self.what}: {self.before} before, {self.now} now"


@dataclass(frozen=True)
class CurveDifference:
    """The largest difference between two curves, with its metric and its epoch (0 if the curves are equal)."""

    difference: float
    name: str = ""
    epoch: int = 0


def read_record(server: Server, run_id: str) -> RunRecord:
    """Return the record of a trial, a finalist or the final training run.

    Raises:
        RerunError: the run does not exist, is not a training run, or has an incomplete record.
    """
    client = server.client
    try:
        run = client.get_run(run_id)
    except TrackingError as error:
        if not is_missing(error) and error.error_code != "INVALID_PARAMETER_VALUE":
            raise
        raise RerunError(f"there is no run {run_id}; copy the id from the run's page in MLflow") from error
    name, tags, role = str(run.info.run_name), dict(run.data.tags), run.data.tags.get("role", "")
    if role not in _TRAINING_ROLES:
        raise RerunError(f"the run {name} is not a training run: its role is {role or 'unknown'}; pass a trial's id")
    metrics = [metric for metric in COMPARED if metric in run.data.metrics]
    epochs: dict[int, dict[str, float]] = {}
    for metric in metrics:
        for point in client.get_metric_history(run_id, metric):
            epochs.setdefault(point.step, {"epoch": point.step})[metric] = point.value
    all_logged = all(row.keys() >= set(metrics) for row in epochs.values())
    if sorted(epochs) != list(range(1, len(epochs) + 1)) or not epochs or not all_logged:
        raise RerunError(f"the learning curve of the run {name} is incomplete in MLflow ({len(epochs)} epochs)")
    search = run
    while parent := search.data.tags.get("mlflow.parentRunId"):
        search = client.get_run(parent)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            config = Path(client.download_artifacts(search.info.run_id, config_file.NAME, scratch))
            split = Path(client.download_artifacts(search.info.run_id, "split.json", scratch)).read_text()
            fields = config_file.read(config)
        except (TrackingError, OSError, ValueError) as error:
            raise RerunError(f"the record of the search {search.info.run_name} is incomplete: {error}") from error
    try:
        return RunRecord(
            run_id=run_id,
            name=name,
            role=role,
            config=SearchConfig(**fields),
            split=Split.from_json(split),
            params={param: _value(param, text) for param, text in run.data.params.items()},
            seed=int(tags["seed"]),
            curve=[epochs[epoch] for epoch in sorted(epochs)],
            tags=dict(search.data.tags) | tags,
        )
    except KeyError as error:
        raise RerunError(f"the run {name}, recorded by an older version of raygenre, has no tag {error}") from error
    except RerunError:
        raise
    except (ValueError, TypeError) as error:
        raise RerunError(f"the record of the run {name} is invalid: {error}") from error


def replay(
    record: RunRecord,
    dataset: Dataset,
    *,
    threads: int | None = None,
    on_start: Callable[[list[Difference]], None],
) -> tuple[Rows, list[Difference]]:
    """Repeat a recorded run for the same number of epochs; return the curve and the differences from the record.

    Args:
        threads: number of torch threads; by default the recorded number.
        on_start: function called with the differences before the first epoch.

    Raises:
        RerunError: the data differs from the recorded data.
        PretrainedError: the run used pretrained features, and the pretrained network is not installed.
        DivergedError: the training run diverged.
    """
    if dataset.digest != record.config.data_digest:
        raise RerunError(
            f"the data in {dataset.source} differs from the data of the run {record.name}: "
            + str(Difference("digest", record.config.data_digest[:16], dataset.digest[:16]))
        )
    split, tags = record.split, record.tags
    folds = [(splits.indices(dataset, fold.train), splits.indices(dataset, fold.validation)) for fold in split.folds]
    inputs = inputs_of(dataset, kinds.installed(record.config.input))
    tracks = Tracks(inputs, dataset.labels, tuple(folds))
    on_gpu = tags.get("device") == "cuda" and torch.cuda.is_available()
    plan = Plan(
        genres=len(dataset.genres),
        epochs=len(record.curve),
        threads=threads or int(tags.get("threads", 1)),
        device="cuda" if on_gpu else "cpu",
    )
    before = torch.get_num_threads()
    try:
        tracks = merge_folds(tracks) if record.role == "final" else tracks
        members = make_members(plan, record.config.setting(record.params), tracks, seed=record.seed)
        if precision := tags.get("precision"):
            for member in members:
                member.training = replace(member.training, precision=precision)  # type: ignore[arg-type]
        differences = _differences(tags, environment_tags(members))
        on_start(differences)
        with tempfile.TemporaryDirectory() as scratch:
            epochs = train(members, tracks, epochs=plan.epochs, location=Location(scratch))
            return [epoch.row for epoch in epochs], differences
    finally:
        torch.set_num_threads(before)


def largest_difference(before: Sequence[Mapping[str, float]], now: Sequence[Mapping[str, float]]) -> CurveDifference:
    """Return the largest difference between two curves, over the metrics of the first curve."""
    worst = CurveDifference(0.0)
    for recorded, trained in zip(before, now, strict=True):
        for metric in recorded.keys() - {"epoch"}:
            difference = abs(recorded[metric] - trained[metric])
            if difference > worst.difference or math.isnan(difference):
                worst = CurveDifference(difference if difference >= 0 else math.inf, metric, int(recorded["epoch"]))
    return worst


def _value(name: str, text: str) -> Value:
    value = parse_entry(name, text)
    if isinstance(value, list | dict):
        raise RerunError(f"the param {name} is {text!r}; expected a single value")
    return value


def _differences(tags: dict[str, str], now: dict[str, str]) -> list[Difference]:
    return [
        Difference(name, tags.get(name, _NOT_RECORDED), value)
        for name, value in now.items()
        if tags.get(name, _NOT_RECORDED) != value
    ]
