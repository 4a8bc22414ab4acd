"""A view of a search's trials in MLflow's list of runs, and the link that opens it.

MLflow's user interface stores a view as a tag of the experiment, lists it under *Views*, and opens it through a link
that contains its key. The tag's value is JSON with the view's name and its compressed state: filter, order, columns and
charts. The format is internal to the user interface and not part of MLflow's API, so `tests/browser/test_mlflow.py`
checks that a view opens.
"""

import json
import zlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from mlflow.entities import Experiment
from mlflow.tracking import MlflowClient

from raygenre.system.storage import EXPERIMENT
from raygenre.tracking.retries import no_retries
from raygenre.tracking.server import Server
from raygenre.tracking.server_errors import TrackingError, is_unreachable

MAX_VIEWS = 20
"""Number of searches whose views are kept; MLflow lets users save a view only while there are fewer than 40."""

_TAG = "mlflow.sharedViewState."
_OURS = "raygenre-"  # the prefix of our keys, so that users' own views are never deleted
_SHOWN_RUNS = "FIRST_20_RUNS"  # the runs whose curves are plotted
_SECTION = {
    "uuid": "curves",
    "name": "Model metrics",
    "display": True,
    "isReordered": True,  # otherwise MLflow sorts the charts by name, and single values come first
    "deleted": False,
    "isGenerated": True,
    "columns": 2,
}
"""The section of the chart view, in MLflow's format."""

_TRAINING = "workflowType=machine_learning"  # otherwise MLflow opens its pages for language models


@dataclass(frozen=True)
class View:
    """The content of a view of a search's trials. The trials are sorted by the first metric, lowest first.

    Attributes:
        name: name under which MLflow lists the view.
        metrics, params, tags: columns of the table.
        curves: metrics that the chart view plots by epoch, before all other charts.
    """

    name: str
    metrics: Sequence[str]
    params: Sequence[str]
    tags: Sequence[str]
    curves: Sequence[str]

    def state(self, search: str) -> str:
        """Return the state in MLflow's format, compressed.

        Args:
            search: MLflow run id of the search.
        """
        columns = {"metrics": self.metrics, "params": self.params, "tags": self.tags}
        state = {
            "searchFilter": f"tags.mlflow.parentRunId = '{search}' AND tags.role = 'trial'",
            "orderByKey": f"metrics.`{self.metrics[0]}`",
            "orderByAsc": True,
            "selectedColumns": [f"{kind}.`{name}`" for kind, names in columns.items() for name in names],
            "runsHiddenMode": _SHOWN_RUNS,
            "compareRunCharts": [_line_chart(metric) for metric in self.curves],
            "compareRunSections": [_SECTION],
        }
        return "deflate;" + b64encode(zlib.compress(json.dumps(state, separators=(",", ":")).encode(), 9)).decode()


def save_view(client: MlflowClient, experiment_id: str, *, study_id: str, search: str, view: View, time: int) -> None:
    """Save the view of a search, and delete the oldest views of other searches if there are too many.

    Args:
        search: MLflow run id of the search.
        time: time of saving, in ms since 1970.
    """
    text = json.dumps({"name": view.name, "createdAt": time, "updatedAt": time, "state": view.state(search)})
    client.set_experiment_tag(experiment_id, _tag(study_id), text)
    for tag in _saved(client.get_experiment(experiment_id))[MAX_VIEWS:]:
        try:
            client.delete_experiment_tag(experiment_id, tag)
        except TrackingError as error:  # another search may have deleted it, and old servers cannot delete tags
            if is_unreachable(error):
                raise


def view_link(server: Server, study_id: str = "") -> str:
    """Return the link to the trials of a search (default: the newest), relative to MLflow's address: `/#/...`.

    Without a saved view, the link leads to the list of runs; without an experiment, to the list of experiments.

    Raises:
        TrackingError: the server is unreachable or rejected the request.
    """
    if not server.storage.has_runs:
        return f"/#/experiments?{_TRAINING}"
    with no_retries():
        experiment = server.client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return f"/#/experiments?{_TRAINING}"
    tag = next((tag for tag in _saved(experiment) if not study_id or tag == _tag(study_id)), None)
    shared = f"&viewStateShareKey={tag.removeprefix(_TAG)}" if tag else ""
    return f"/#/experiments/{experiment.experiment_id}/runs?{_TRAINING}{shared}"


def view_url(server: Server, study_id: str) -> str:
    """Return the address of the trials of a search on a tracking server.

    The result is empty if the server is unreachable, or if MLflow uses a database, which has no address until
    `raygenre ui` runs.
    """
    scheme, _, address = server.uri.partition("://")
    if scheme in ("http", "https"):
        with suppress(TrackingError):
            return f"{scheme}://{address.rpartition('@')[2].rstrip('/')}{view_link(server, study_id)}"
    return ""


def _tag(study_id: str) -> str:
    return f"{_TAG}{_OURS}{study_id}"


def _saved(experiment: Experiment) -> list[str]:
    """Return the tags of all searches' views, newest first."""
    tags: Mapping[str, str] = experiment.tags
    ours = {tag: _created(text) for tag, text in tags.items() if tag.startswith(_TAG + _OURS)}
    return sorted(ours, key=lambda tag: ours[tag], reverse=True)


def _created(text: str) -> int:
    try:
        return int(json.loads(text)["createdAt"])
    except (ValueError, TypeError, KeyError):  # someone has changed the tag
        return 0


def _line_chart(metric: str) -> dict[str, Any]:
    """Return a chart of a metric by epoch, with MLflow's default settings for a new chart."""
    return {
        "type": "LINE",
        "uuid": metric,
        "metricSectionId": _SECTION["uuid"],
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "displayName": metric,
        "deleted": False,
        "isGenerated": False,
        "runsCountToCompare": 10,
        "lineSmoothness": 0,
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "range": {},
        "xAxisKey": "step",
        "selectedXAxisMetricKey": "",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "ignoreOutliers": False,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }
