"""Writes a spool's updates to MLflow, each value exactly once.

A request may succeed even if its response is lost, so retries must not create duplicates. Each run is tagged with our
own key and looked up by that key. Each value keeps the time at which it was queued, because MLflow's databases store a
value with the same run, name, step and time only once. After a lost response, or when taking over from an earlier
driver, the writer asks MLflow which values are already stored, and skips these values.

No update can block the updates behind it. The first update of a run creates the run, even if its `start` was lost. An
update that cannot be written is set aside, together with the reason.
"""

import json
import tempfile
from base64 import b64decode
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag

from raygenre.system.redaction import masked
from raygenre.tracking.server import Server
from raygenre.tracking.server_errors import is_unreachable, meaning, reason
from raygenre.tracking.shared_view import View, save_view
from raygenre.tracking.spool import Spool, Update

KEY = "raygenre.run"
"""Name of the tag that holds our own key for a run."""

_PARENT = "mlflow.parentRunId"
_USE = "mlflow.data.context"  # the tag that states the purpose of a dataset
_DIGEST_CHARACTERS = 16  # short enough to compare by eye; MLflow's limit is 36
_MAX_METRICS = 1000  # MLflow's own limit per request


class MlflowWriter:
    """Writes the updates of one spool to MLflow runs.

    Attributes:
        calls: number of successful requests; while this number grows, the server is reachable, although perhaps slow.
    """

    def __init__(self, server: Server, spool: Spool) -> None:
        self.calls = 0
        self._server = server
        self._spool = spool
        self._written: set[int] = set()  # offsets of updates that MLflow has but the spool does not yet record
        self._maybe_created: set[str] = set()  # runs that a request without a response may have created
        self._started: set[str] = set()  # runs that this writer created with the tags of their `start`
        # The (name, step) pairs that MLflow may already have, by run; None until the writer has queried MLflow.
        self._logged: dict[str, set[tuple[str, int]] | None] = dict.fromkeys(spool.runs)

    def write_next(self) -> bool:
        """Write the next batch of updates, and return whether there were any.

        Raises:
            Exception: the server is unreachable, or the address is wrong. No update is lost; the next call
                writes the remaining updates.
        """
        batch, upto = self._spool.next_batch()
        runs: dict[str, list[tuple[int, Update]]] = {}
        for offset, update in batch:
            if offset not in self._written:
                runs.setdefault(update["run"], []).append((offset, update))
        for key, updates in runs.items():
            try:
                self._write_run(key, updates)
            except Exception as error:
                if not _is_invalid(error):
                    raise
                self._set_aside([pair for pair in updates if pair[0] not in self._written], error)
        self._spool.mark_delivered(upto, len(batch))
        self._written.clear()
        return bool(batch)

    def _write_run(self, key: str, updates: list[tuple[int, Update]]) -> None:
        """Write one run's updates in order with as few requests as possible."""
        run_id = self._spool.runs[key].id or self._find_or_create_run(key, updates[0][1])
        batch: list[tuple[int, Update]] = []
        for offset, update in updates:
            batch.append((offset, update))
            if update["do"] in ("inputs", "file", "view", "end", "reopen"):
                self._send(key, run_id, batch)
                batch = []
        if batch:
            self._send(key, run_id, batch)

    def _send(self, key: str, run_id: str, batch: list[tuple[int, Update]]) -> None:
        """Write metrics, params and tags in one request, then the last update if it needs a separate request."""
        updates = [update for _, update in batch]
        for write, concerned in ((self._log_batch, updates), (self._finish_batch, updates[-1:])):
            try:
                write(key, run_id, concerned)
            except Exception as error:
                # Artifacts may be in a separate store, and a view may need other permissions or a newer server. If one
                # of them cannot be written, the other updates must not be blocked.
                separate = write == self._finish_batch and updates[-1]["do"] in ("file", "view")
                only_this = meaning(error) == "refused" or (separate and not is_unreachable(error))
                if not only_this and not _is_invalid(error):
                    self._logged[key] = None
                    raise
                for update in concerned:
                    self._spool.set_aside(update, _reason(error))
        self._written.update(offset for offset, _ in batch)
        self.calls += 1

    def _set_aside(self, updates: list[tuple[int, Update]], error: Exception) -> None:
        for offset, update in updates:
            self._spool.set_aside(update, _reason(error))
            self._written.add(offset)

    def _log_batch(self, key: str, run_id: str, updates: list[Update]) -> None:
        metrics = [
            Metric(name, value, update["time"], update["step"])
            for update in updates
            if update["do"] == "log"
            for name, value in update["values"].items()
        ]
        if metrics and key in self._logged:
            logged = self._logged[key]
            if logged is None:
                logged = self._logged[key] = self._logged_values(run_id)
            metrics = [metric for metric in metrics if (metric.key, metric.step) not in logged]
        params = {name: value for update in updates for name, value in update.get("params", {}).items()}
        tags = {
            name: value
            for update in updates
            if update["do"] != "start" or key not in self._started
            for name, value in update.get("tags", {}).items()
        }
        for update in updates if key not in self._started else ():
            if update["do"] == "start":  # a different update or an earlier driver created the run
                tags |= self._parent_tag(update.get("parent"))
        for start in range(0, max(len(metrics), 1), _MAX_METRICS):
            self._server.client.log_batch(
                run_id,
                metrics=metrics[start : start + _MAX_METRICS],
                params=[Param(name, value) for name, value in params.items()] if not start else [],
                tags=[RunTag(name, value) for name, value in tags.items()] if not start else [],
            )

    def _finish_batch(self, key: str, run_id: str, updates: list[Update]) -> None:
        """Write the last update of a batch if it needs a separate request."""
        client = self._server.client
        [update] = updates
        if update["do"] == "inputs":
            client.log_inputs(run_id, [_dataset_input(part) for part in update["parts"]])
        elif update["do"] == "file":
            with tempfile.TemporaryDirectory() as scratch:
                path = Path(scratch) / Path(update["file"]).name
                path.write_bytes(b64decode(update["base64"]))
                client.log_artifact(run_id, str(path), str(Path(update["file"]).parent).strip(".") or None)
        elif update["do"] == "view":
            study_id, _, _ = key.rsplit("/", 2)
            view, experiment_id = View(**update["view"]), self._server.experiment_id
            save_view(client, experiment_id, study_id=study_id, search=run_id, view=view, time=update["time"])
        elif update["do"] == "reopen":
            client.update_run(run_id, status="RUNNING")
        elif update["do"] == "end":
            client.set_terminated(run_id, update["status"], end_time=update["time"])
            self._delete_duplicates(key, run_id)
            self._logged.pop(key, None)

    def _find_or_create_run(self, key: str, update: Update) -> str:
        """Return the id of the run that an earlier request or driver created, or create the run."""
        retried = key in self._maybe_created
        existing = self._find_runs(key) if retried or not self._spool.is_new else []
        self._maybe_created.add(key)
        if existing:
            run_id = str(existing[0].info.run_id)
            self._logged[key] = None
        else:
            run_id = self._create_run(key, update)
        self._spool.note_run_id(key, run_id)
        if not retried and len(existing) < 2:
            self._maybe_created.discard(key)
        self.calls += 1
        return run_id

    def _parent_tag(self, parent: str | None) -> dict[str, str]:
        """Return the tag that nests a run below its parent; create the parent if necessary."""
        if not parent:
            return {}
        run = self._spool.runs.get(parent)
        run_id = run.id if run else ""
        return {_PARENT: run_id or self._find_or_create_run(parent, {"do": "end", "run": parent, "time": None})}

    def _create_run(self, key: str, update: Update) -> str:
        """Create a run from its first update, which is its `start` unless the `start` was lost."""
        study, role, name = key.rsplit("/", 2)
        parent = update.get("parent")
        if update["do"] == "start":
            self._started.add(key)
        elif role != "search":  # in a study, only the search's run has no parent
            parent = next((other for other in self._spool.runs if other.startswith(f"{study}/search/")), None)
        tags = {"role": role, **update.get("tags", {}), **self._parent_tag(parent), KEY: key}
        try:
            run = self._server.client.create_run(
                self._server.experiment_id, start_time=update["time"], tags=tags, run_name=update.get("name", name)
            )
        except Exception as error:
            self._server.forget_experiment()
            if meaning(error) == "refused":  # MLflow would reject every run: the experiment itself is the problem
                raise ConnectionError(f"cannot create a run: {reason(error)}") from error
            raise
        return str(run.info.run_id)

    def _delete_duplicates(self, key: str, run_id: str) -> None:
        """Delete empty runs that delayed requests created after the writer had looked for them."""
        if key in self._maybe_created:
            for run in self._find_runs(key):
                if run.info.run_id != run_id:
                    self._server.client.delete_run(run.info.run_id)
            self._maybe_created.discard(key)

    def _find_runs(self, key: str) -> list[Run]:
        return list(self._server.client.search_runs([self._server.experiment_id], f"tags.`{KEY}` = '{key}'"))

    def _logged_values(self, run_id: str) -> set[tuple[str, int]]:
        client = self._server.client
        names = client.get_run(run_id).data.metrics
        return {(metric.key, metric.step) for name in names for metric in client.get_metric_history(run_id, name)}


def _is_invalid(error: Exception) -> bool:
    """Return whether an error is due to invalid content, which the tracker itself never writes."""
    wrong_content = isinstance(error, KeyError | TypeError | AttributeError | IndexError | ValueError)
    return wrong_content and not isinstance(error, OSError)  # requests' errors are OSErrors; some are also ValueErrors


def _reason(error: Exception) -> str:
    return masked(f"{type(error).__name__}: {error}" if _is_invalid(error) else str(error))


def _dataset_input(part: dict[str, Any]) -> DatasetInput:
    """Return a part of the data as an MLflow dataset; MLflow stores each (name, digest) pair only once."""
    profile = json.dumps({"num_rows": sum(part["counts"].values()), "counts": part["counts"]})
    source = json.dumps({"uri": part["source"]})
    dataset = Dataset(part["name"], part["digest"][:_DIGEST_CHARACTERS], "local", source, profile=profile)
    return DatasetInput(dataset, [InputTag(_USE, part["use"])])
