"""Runs beside each other, as MLflow knows them: settings, values in the end and learning curves.

A run is named by its id, by a version that came from it (`models:/raygenre/3`), or by a study; a study and the run of
its search stand for the winner's training on all training tracks.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from pathlib import Path

from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from raygenre.errors import RaygenreError
from raygenre.evaluation import head_to_head
from raygenre.evaluation.paired_test import PairedTest
from raygenre.evaluation.version_facts import VersionFacts
from raygenre.registry import versions as registry
from raygenre.search.space.config import SearchConfig
from raygenre.system.storage import Storage
from raygenre.tracking.server import EXPERIMENT, Server, is_missing

Curve = tuple[tuple[int, float], ...]

_OF_THE_SEARCH = (*(field.name for field in fields(SearchConfig)), "train_tracks", "test_tracks")
_OF_THE_TRAINING = {"seed": "training seed", "epochs": "epochs trained", "parameters": "parameters", "flops": "flops"}
_FIRST = ("test_accuracy", "test_", "best_", "validation_", "train_")  # metrics by how they begin
_NO_CURVE = re.compile(r"(test_|compared_|system/).*|seconds|images_per_second")  # measured, but not learned
_SHORT = 8  # characters of a run's id


class UnknownRunError(RaygenreError, ValueError):
    """There is no such run; the message says what there is."""


@dataclass(frozen=True)
class Subject:
    """One of the runs to compare.

    Attributes:
        name: as it is shown.
        run_id: of its training.
        settings: of the search and of the training, by name.
        values: of each metric the last one.
        curves: of each metric that was told more than once, (step, value) by step.
        model: address of the registered version that came from the run; empty if there is none.
        evidence: what the registry knows of that version.
    """

    name: str
    run_id: str
    settings: Mapping[str, str]
    values: Mapping[str, float]
    curves: Mapping[str, Curve]
    model: str = ""
    evidence: VersionFacts | None = None


@dataclass(frozen=True)
class Match:
    """Two of the subjects on the same tracks.

    Attributes:
        first, second: their names; the comparison has the first in the candidate's place.
        comparison: None if there can be none.
        note: why not.
    """

    first: str
    second: str
    comparison: PairedTest | None
    note: str = ""


def subject(storage: Storage, source: str) -> Subject:
    """Look a run up by its id, a version's address or a study's name.

    Raises:
        UnknownRunError: there is none.
        RegistryError: there is no such version.
    """
    if not storage.has_runs:
        raise UnknownRunError(f"there is nothing in {storage.server} yet; `make tune` makes a first run")
    client = Server(storage).client
    if source.startswith("models:/"):
        model, _, number = registry.current(storage, source).partition("/")
        versions = [client.get_model_version(model, number)]
        if not versions[0].run_id:
            raise UnknownRunError(f"{source} was registered by hand: no run is known that made it")
        return _subject(client, _run(client, versions[0].run_id), f"version {number}", versions)
    run = _run(client, source) if re.fullmatch(r"[0-9a-f]{32}", source) else _search(client, source)
    name = f"{run.info.run_name} {source[:_SHORT]}" if run.info.run_id == source else source
    if run.data.tags.get("role") == "search":
        run = _final(client, run)
    versions = client.search_model_versions(f"name = '{registry.MODEL}' and run_id = '{run.info.run_id}'")
    return _subject(client, run, name, versions)


def matches(storage: Storage, subjects: Sequence[Subject], source: Path | None) -> list[Match]:
    """Compare those of which versions are registered, two at a time, on test tracks that taught neither.

    Args:
        source: the data set; by default the first version's own.
    """
    registered = [one for one in subjects if one.model]
    if len(registered) < 2:
        return []
    try:
        dataset = head_to_head.tested_data(registered[0].evidence, source, cache=storage.cache)
        classifiers = [registry.fetch(storage, one.model).classifier for one in registered]
    except (ValueError, OSError, registry.RegistryError) as error:
        return [Match(one.name, other.name, None, str(error)) for one, other in combinations(registered, 2)]
    found = []
    for (one, first), (other, second) in combinations(zip(registered, classifiers, strict=True), 2):
        try:
            found.append(Match(one.name, other.name, head_to_head.compare_pair(first, second, dataset)))
        except head_to_head.NoContestError as error:
            found.append(Match(one.name, other.name, None, str(error)))
    return found


def unmatched(subjects: Sequence[Subject]) -> str:
    """Say why none of the subjects is compared with another on the same tracks; nothing if some are."""
    registered = [one.name for one in subjects if one.model]
    if len(registered) > 1:
        return ""
    who = f"of these only {registered[0]} has one" if registered else "none of these has one"
    return f"There is no paired test: it needs two registered versions, and {who}"


def differing(subjects: Sequence[Subject]) -> tuple[list[str], list[str]]:
    """Return the names of the settings that differ, and of those that are the same everywhere."""
    names = list(dict.fromkeys(name for one in subjects for name in one.settings))
    differ = [name for name in names if len({one.settings.get(name) for one in subjects}) > 1]
    return differ, [name for name in names if name not in differ]


def shared(parts: Iterable[Mapping[str, object]]) -> list[str]:
    """Return the names that occur in any part, as they come."""
    return list(dict.fromkeys(name for part in parts for name in part))


def _subject(client: MlflowClient, run: Run, name: str, versions: Sequence[ModelVersion]) -> Subject:
    search = run
    while parent := search.data.tags.get(MLFLOW_PARENT_RUN_ID):
        search = _run(client, parent)
    told = search.data.tags
    settings = dict(run.data.params)
    if search is not run:
        settings |= {shown: run.data.tags[tag] for tag, shown in _OF_THE_TRAINING.items() if tag in run.data.tags}
    settings |= {tag: told[tag] for tag in _OF_THE_SEARCH if tag in told and tag not in settings}
    settings |= {tag: text for tag, text in sorted(told.items()) if tag.startswith("version.")}
    curves = {}
    for metric in sorted(run.data.metrics, key=_rank):
        if not _NO_CURVE.fullmatch(metric):
            history = client.get_metric_history(run.info.run_id, metric)
            if len(points := {point.step: point.value for point in history}) > 1:
                curves[metric] = tuple(sorted(points.items()))
    values = dict(sorted(run.data.metrics.items(), key=lambda item: _rank(item[0])))
    if not versions:
        return Subject(name, run.info.run_id, settings, values, curves)
    last = max(versions, key=lambda version: int(version.version))
    model = f"models:/{last.name}/{last.version}"
    return Subject(name, run.info.run_id, settings, values, curves, model, registry.facts_of(last))


def _rank(metric: str) -> tuple[int, str]:
    """What a person looks at first comes first."""
    return next((place for place, part in enumerate(_FIRST) if metric.startswith(part)), len(_FIRST)), metric


def _run(client: MlflowClient, run_id: str) -> Run:
    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if is_missing(error) or error.error_code == "INVALID_PARAMETER_VALUE":  # the id is malformed
            raise UnknownRunError(f"MLflow has no run {run_id}") from error
        raise


def _search(client: MlflowClient, study: str) -> Run:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    runs = client.search_runs([experiment.experiment_id], "tags.role = 'search'") if experiment else []
    for run in runs:  # the last one first
        if run.info.run_name == study:
            return run
    known = ", ".join(sorted({str(run.info.run_name) for run in runs})) or "none"
    raise UnknownRunError(
        f"{study} is no run's id, no version's address such as models:/raygenre/3, and no study; studies: {known}"
    )


def _final(client: MlflowClient, search: Run) -> Run:
    where = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{search.info.run_id}' and tags.role = 'final'"
    where += " and attributes.status != 'FAILED'"
    found = client.search_runs([search.info.experiment_id], where, max_results=1)
    if not found:
        raise UnknownRunError(f"the search {search.info.run_name} has no final training yet")
    return found[0]
