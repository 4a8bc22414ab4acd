"""MLflow, as the search writes to it: a run for the search, a run for each trial below it.

All logging comes from the driver. Values go out in batches, a second's worth or a run's rest at a time, since every
call costs a transaction or a round trip.
"""

import logging
import os
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal

from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from raygenre.storage import Storage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXPERIMENT = "raygenre"
TrackingError = MlflowException
"""What MLflow raises when its server or database does not do what was asked."""
BATCH_SECONDS = 1.0  # s between two batches of one run
MOST_METRICS = 1000  # a batch, MLflow's own limit

Status = Literal["FINISHED", "FAILED", "KILLED"]
Role = Literal["search", "trial", "finalists", "finalist", "final"]


class Tracker:
    """Writes runs to one experiment of one tracking server.

    Attributes:
        client: MLflow's own, for what has no method here.
        experiment_id: of the experiment `raygenre`.
    """

    def __init__(self, storage: Storage) -> None:
        quiet_mlflow()
        if storage.tracking_uri.startswith("sqlite:"):
            storage.root.mkdir(parents=True, exist_ok=True)
        self.uri = storage.tracking_uri
        self.client = MlflowClient(storage.tracking_uri, registry_uri=storage.tracking_uri)
        self.experiment_id = self._experiment(storage.artifact_uri)
        self._waiting: dict[str, list[Metric]] = {}
        self._sent: dict[str, float] = {}

    def start(
        self,
        name: str,
        role: Role,
        *,
        parent: str | None = None,
        params: Mapping[str, object] | None = None,
        tags: Mapping[str, object] | None = None,
    ) -> str:
        """Begin a run and return its id. Searched values are `params`, fixed ones and seeds are `tags`.

        A run of this name and role below the same parent, or of the same `study_id`, is taken up instead: it is that
        of a driver that died before it could write the id down.
        """
        labels = {"role": role, **(tags or {})} | ({"mlflow.parentRunId": parent} if parent else {})
        for run in self._like(name, {key: labels.get(key) for key in ("role", "mlflow.parentRunId", "study_id")}):
            return str(run.info.run_id)
        run = self.client.create_run(
            self.experiment_id, run_name=name, tags={key: str(value) for key, value in labels.items()}
        )
        run_id: str = run.info.run_id
        if params:
            self.client.log_batch(run_id, params=[Param(key, str(value)) for key, value in params.items()])
        return run_id

    def reopen(self, run_id: str) -> None:
        """Go on with a run that an earlier driver left or ended."""
        self.client.update_run(run_id, status="RUNNING")

    def log(self, run_id: str, values: Mapping[str, float], *, step: int) -> None:
        """Log values at a step, soon; the first one is the one that MLflow's views pick."""
        now = time.time()
        waiting = self._waiting.setdefault(run_id, [])
        waiting += [Metric(key, value, int(now * 1000), step) for key, value in values.items()]
        if now - self._sent.get(run_id, 0) >= BATCH_SECONDS or len(waiting) >= MOST_METRICS:
            self._send(run_id)

    def log_missing(self, run_id: str, rows: Iterable[Mapping[str, float]]) -> None:
        """Log rows of values, `epoch` being their step, but for those that the run has already."""
        known: set[int] | None = None
        for row in rows:
            values = {key: value for key, value in row.items() if key != "epoch"}
            if known is None:
                known = self.steps(run_id, next(iter(values)))
            if int(row["epoch"]) not in known:
                self.log(run_id, values, step=int(row["epoch"]))

    def steps(self, run_id: str, key: str) -> set[int]:
        """Steps that a run has a value for."""
        return {metric.step for metric in self.client.get_metric_history(run_id, key)}

    def tag(self, run_id: str, tags: Mapping[str, object]) -> None:
        """Add tags to a run."""
        self.client.log_batch(run_id, tags=[RunTag(key, str(value)) for key, value in tags.items()])

    def text(self, run_id: str, text: str, file: str) -> None:
        """Keep a text as an artifact."""
        self.client.log_text(run_id, text, file)

    def figure(self, run_id: str, figure: "Figure", file: str) -> None:
        """Keep a figure as an artifact."""
        self.client.log_figure(run_id, figure, file)

    def end(self, run_id: str, status: Status, *, tags: Mapping[str, object] | None = None) -> None:
        """End a run, after everything that waits for it has gone out."""
        self._send(run_id)
        if tags:
            self.tag(run_id, tags)
        self.client.set_terminated(run_id, status)

    def below(self, run_id: str) -> list[Run]:
        """The runs directly below a run."""
        return self._search(f"tags.`mlflow.parentRunId` = '{run_id}'")

    def _like(self, name: str, labels: Mapping[str, object]) -> list[Run]:
        """Runs by name and tags; none without a tag that says whose they are."""
        known = {key: value for key, value in labels.items() if value is not None}
        if len(known) < 2:
            return []
        conditions = [f"tags.`{key}` = '{value}'" for key, value in known.items()]
        return self._search(" and ".join([f"attributes.run_name = '{name}'", *conditions]))

    def _search(self, condition: str) -> list[Run]:
        return list(self.client.search_runs([self.experiment_id], condition, max_results=50_000))

    def _send(self, run_id: str) -> None:
        waiting = self._waiting.pop(run_id, [])
        for start in range(0, len(waiting), MOST_METRICS):
            self.client.log_batch(run_id, metrics=waiting[start : start + MOST_METRICS])
        self._sent[run_id] = time.time()

    def _experiment(self, artifact_uri: str | None) -> str:
        experiment = self.client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            try:
                return str(self.client.create_experiment(EXPERIMENT, artifact_location=artifact_uri))
            except MlflowException:  # another search made it in the meantime
                experiment = self.client.get_experiment_by_name(EXPERIMENT)
                if experiment is None:
                    raise
        return str(experiment.experiment_id)


def quiet_mlflow() -> None:
    """Leave a command's own lines readable: MLflow reports each step of making a database or fetching a file."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
