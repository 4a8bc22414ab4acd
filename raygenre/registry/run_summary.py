"""Runs and versions as MLflow recorded them: settings, final metrics, learning curves.

A run is identified by its id, by the version that it produced (`models:/raygenre/3`), or by a study's name. A study or
its search run stands for the winner's final training run, which uses all training tracks.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from raygenre.errors import RaygenreError
from raygenre.evaluation.version_facts import VersionFacts
from raygenre.registry import versions
from raygenre.system.storage import EXPERIMENT
from raygenre.tracking.server import Server
from raygenre.tracking.server_errors import is_missing

Curve = tuple[tuple[int, float], ...]
"""(step, value) pairs, sorted by step."""

_TRAINING_TAGS = {"seed": "training seed", "epochs": "epochs trained", "parameters": "parameters", "flops": "flops"}
_METRIC_ORDER = ("test_accuracy", "test_", "best_", "validation_", "train_")  # prefixes
_NO_CURVE = re.compile(r"(test_|compared_|system/).*|seconds|images_per_second")  # metrics that are not learning curves
_SHORT_ID = 8  # characters of a run's id that are displayed


class UnknownRunError(RaygenreError, ValueError):
    """The run does not exist; the message explains why or lists the studies."""


@dataclass(frozen=True)
class RunSummary:
    """A training run, with the registered version that it produced, if any.

    Attributes:
        name: name to display.
        run_id: id of the training run.
        settings: settings of the search and of the training run, by name.
        values: last value of each metric.
        curves: for each metric logged at two or more steps, its (step, value) pairs, sorted by step.
        model: URI of the registered version that the run produced; empty if there is none.
        facts: facts recorded about that version in the registry.
    """

    name: str
    run_id: str
    settings: Mapping[str, str]
    values: Mapping[str, float]
    curves: Mapping[str, Curve]
    model: str = ""
    facts: VersionFacts | None = None


def find_run(server: Server, source: str, *, search_tags: Collection[str]) -> RunSummary:
    """Look up a run by its id, a version's URI or a study's name.

    Args:
        search_tags: names of the search run's tags that contain settings; all of its params are settings.

    Raises:
        UnknownRunError: the run does not exist.
        RegistryError: the version does not exist.
    """
    if not server.storage.has_runs:
        raise UnknownRunError(f"there are no runs in {server.address} yet; run `make tune` to start a search")
    client = server.client
    if source.startswith("models:/"):
        model, _, number = versions.current(server, source).partition("/")
        registered = [client.get_model_version(model, number)]
        if not registered[0].run_id:
            raise UnknownRunError(f"{source} was registered by hand and has no run")
        return _summary(client, _run(client, registered[0].run_id), f"version {number}", registered, search_tags)
    run = _run(client, source) if re.fullmatch(r"[0-9a-f]{32}", source) else _search_run(client, source)
    name = f"{run.info.run_name} {source[:_SHORT_ID]}" if run.info.run_id == source else source
    if run.data.tags.get("role") == "search":
        run = _final_run(client, run)
    registered = client.search_model_versions(f"name = '{versions.MODEL}' and run_id = '{run.info.run_id}'")
    return _summary(client, run, name, registered, search_tags)


def _summary(
    client: MlflowClient, run: Run, name: str, registered: Sequence[ModelVersion], search_tags: Collection[str]
) -> RunSummary:
    search = run
    while parent := search.data.tags.get(MLFLOW_PARENT_RUN_ID):
        search = _run(client, parent)
    tags = search.data.tags
    settings = dict(run.data.params)
    if search is not run:
        settings |= {label: run.data.tags[tag] for tag, label in _TRAINING_TAGS.items() if tag in run.data.tags}
    recorded = {tag: tags[tag] for tag in search_tags if tag in tags} | search.data.params
    settings |= {name: text for name, text in recorded.items() if name not in settings}
    settings |= {tag: text for tag, text in sorted(tags.items()) if tag.startswith("version.")}
    curves = {}
    for metric in sorted(run.data.metrics, key=_rank):
        if not _NO_CURVE.fullmatch(metric):
            history = client.get_metric_history(run.info.run_id, metric)
            if len(points := {point.step: point.value for point in history}) > 1:
                curves[metric] = tuple(sorted(points.items()))
    values = dict(sorted(run.data.metrics.items(), key=lambda item: _rank(item[0])))
    if not registered:
        return RunSummary(name, run.info.run_id, settings, values, curves)
    last = max(registered, key=lambda version: int(version.version))
    model = f"models:/{last.name}/{last.version}"
    return RunSummary(name, run.info.run_id, settings, values, curves, model, versions.facts_of(last))


def _rank(metric: str) -> tuple[int, str]:
    """Return a sort key that puts the most important metrics first."""
    prefixes = enumerate(_METRIC_ORDER)
    return next((place for place, prefix in prefixes if metric.startswith(prefix)), len(_METRIC_ORDER)), metric


def _run(client: MlflowClient, run_id: str) -> Run:
    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if is_missing(error) or error.error_code == "INVALID_PARAMETER_VALUE":  # the id is malformed
            raise UnknownRunError(f"MLflow has no run {run_id}") from error
        raise


def _search_run(client: MlflowClient, study: str) -> Run:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    runs = client.search_runs([experiment.experiment_id], "tags.role = 'search'") if experiment else []
    for run in runs:  # newest first
        if run.info.run_name == study:
            return run
    studies = ", ".join(sorted({str(run.info.run_name) for run in runs})) or "none"
    raise UnknownRunError(
        f"{study} is not a run id, a version's URI such as models:/raygenre/3, or a study (studies: {studies})"
    )


def _final_run(client: MlflowClient, search: Run) -> Run:
    query = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{search.info.run_id}' and tags.role = 'final'"
    query += " and attributes.status != 'FAILED'"
    runs = client.search_runs([search.info.experiment_id], query, max_results=1)
    if not runs:
        raise UnknownRunError(f"the search {search.info.run_name} has no final training run yet")
    return runs[0]
