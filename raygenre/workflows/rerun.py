"""Train a run of a search once more, from MLflow's record of it alone, and lay the two curves side by side.

The record is the run's params and tags, and of its search `run.yaml` and `split.json`. The same setting, seed and
tracks give the same curve, bit for bit, in float32 and in bfloat16, where versions and surroundings are the same; what
is not the same is named.
"""

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from raygenre.data import splits
from raygenre.data.dataset import Dataset
from raygenre.data.splits import Split
from raygenre.errors import RaygenreError
from raygenre.search.space import config_file
from raygenre.search.space.config import SearchConfig
from raygenre.search.space.space import Value, parse_entry
from raygenre.search.trials.trainable import Plan, Tracks, environment_tags, make_members, merge_folds, train
from raygenre.search.trials.trial_result import OBJECTIVE
from raygenre.system.location import Location
from raygenre.tracking.server import Server, TrackingError, is_missing

Rows = list[dict[str, float]]
"""The values of each epoch, by name, with `epoch`."""

TOLERANCE = 1e-6
"""The largest difference of two values that are called the same."""

COMPARED = (OBJECTIVE, "validation_loss", "validation_accuracy", "train_loss", "train_accuracy", "learning_rate")
_TRAININGS = ("trial", "finalist", "final")
_UNKNOWN = "not recorded"


class RerunError(RaygenreError, ValueError):
    """A run cannot be trained again; the message says why."""


@dataclass(frozen=True)
class Record:
    """What MLflow knows of a training.

    Attributes:
        run_id, name, role: of its run.
        config: of its search, with the data's path and digest.
        split: of its search.
        params: the searched values.
        seed: of the training.
        curve: the values of each epoch, by name, with `epoch`.
        tags: of the run and, below them, of its search: versions and surroundings.
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
    """Something that is not as it was."""

    what: str
    before: str
    now: str

    def __str__(self) -> str:
        return f"{self.what}: {self.before} before, {self.now} now"


@dataclass(frozen=True)
class Largest:
    """The largest difference of two curves: of which value, in which epoch (0 where all are equal)."""

    difference: float
    name: str = ""
    epoch: int = 0


def read(server: Server, run_id: str) -> Record:
    """Read the record of a trial, of a finalist or of the final training.

    Raises:
        RerunError: there is no such run, it is no training, or its record is not whole.
    """
    client = server.client
    try:
        run = client.get_run(run_id)
    except TrackingError as error:
        if not is_missing(error) and error.error_code != "INVALID_PARAMETER_VALUE":
            raise
        raise RerunError(f"there is no run {run_id}; its id is on its page in MLflow") from error
    tags, role = dict(run.data.tags), run.data.tags.get("role", "")
    if role not in _TRAININGS:
        raise RerunError(f"the run {run.info.run_name} is no training, but {role or 'something else'}; name a trial")
    names = [name for name in COMPARED if name in run.data.metrics]
    epochs: dict[int, dict[str, float]] = {}
    for name in names:
        for metric in client.get_metric_history(run_id, name):
            epochs.setdefault(metric.step, {"epoch": metric.step})[name] = metric.value
    whole_epochs = all(row.keys() >= set(names) for row in epochs.values())
    if sorted(epochs) != list(range(1, len(epochs) + 1)) or not epochs or not whole_epochs:
        raise RerunError(f"the run {run.info.run_name} has {len(epochs) or 'no'} epochs in MLflow, and not all before")
    search = run
    while parent := search.data.tags.get("mlflow.parentRunId"):
        search = client.get_run(parent)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            config = Path(client.download_artifacts(search.info.run_id, config_file.NAME, scratch))
            split = Path(client.download_artifacts(search.info.run_id, "split.json", scratch)).read_text()
            fields = config_file.read(config)
        except (TrackingError, OSError, ValueError) as error:
            raise RerunError(f"the record of the search {search.info.run_name} is not whole: {error}") from error
    try:
        return Record(
            run_id=run_id,
            name=str(run.info.run_name),
            role=role,
            config=SearchConfig(**fields),
            split=Split.from_json(split),
            params={name: _value(name, text) for name, text in run.data.params.items()},
            seed=int(tags["seed"]),
            curve=[epochs[epoch] for epoch in sorted(epochs)],
            tags=dict(search.data.tags) | tags,
        )
    except KeyError as error:
        raise RerunError(f"the run {run.info.run_name} has no tag {error}: it was made by an older raygenre") from error


def train_again(
    record: Record,
    dataset: Dataset,
    *,
    threads: int | None = None,
    begun: Callable[[list[Difference]], None],
) -> tuple[Rows, list[Difference]]:
    """Train as recorded, as many epochs as recorded; return their values, and what is not as it was.

    Args:
        threads: of torch; as many as recorded by default.
        begun: called with what is not as it was before the first epoch is trained.

    Raises:
        RerunError: the data are others.
        NonFiniteLossError: the training diverged.
    """
    if dataset.digest != record.config.data_digest:
        raise RerunError(
            f"the data in {dataset.source} are not those of the run {record.name}: "
            + str(Difference("digest", record.config.data_digest[:16], dataset.digest[:16]))
        )
    split, tags = record.split, record.tags
    folds = [(splits.indices(dataset, fold.train), splits.indices(dataset, fold.validation)) for fold in split.folds]
    tracks = Tracks(dataset.levels, dataset.labels, tuple(folds))
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
        found = _differences(tags, environment_tags(members))
        begun(found)
        with tempfile.TemporaryDirectory() as scratch:
            epochs = train(members, tracks, epochs=plan.epochs, location=Location(scratch))
            return [epoch.row for epoch in epochs], found
    finally:
        torch.set_num_threads(before)


def largest(before: Sequence[dict[str, float]], now: Sequence[dict[str, float]]) -> Largest:
    """Return where two curves differ most, over all values that the first one has."""
    worst = Largest(0.0)
    for one, other in zip(before, now, strict=True):
        for name in one.keys() - {"epoch"}:
            difference = abs(one[name] - other[name])
            if difference > worst.difference or math.isnan(difference):
                worst = Largest(difference if difference >= 0 else math.inf, name, int(one["epoch"]))
    return worst


def _value(name: str, text: str) -> Value:
    value = parse_entry(name, text)
    if isinstance(value, list | dict):
        raise RerunError(f"the param {name} is {text!r}, which is not a value")
    return value


def _differences(tags: dict[str, str], now: dict[str, str]) -> list[Difference]:
    return [
        Difference(name, tags.get(name, _UNKNOWN), value)
        for name, value in now.items()
        if tags.get(name, _UNKNOWN) != value
    ]
