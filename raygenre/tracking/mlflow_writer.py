"""What is in the spool, written into MLflow, every value exactly once.

A call whose answer never came may have been heard all the same. So a run carries our own key as a tag, by which it is
found again; each value keeps the time at which it was spooled, and MLflow's databases hold a value of one run, name,
step and time once; and where an earlier call or an earlier driver may have got through, what MLflow has is asked for
and left out.
"""

import json
import tempfile
from base64 import b64decode
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag

from raygenre.system.redaction import masked
from raygenre.tracking.server import Server, is_unreachable, meaning, reason
from raygenre.tracking.spool import Entry, Spool

KEY = "raygenre.run"
"""The tag with our own key of a run."""

_PARENT = "mlflow.parentRunId"
_USE = "mlflow.data.context"  # the tag with what a data set is for
_DIGEST_CHARACTERS = 16  # that a person can compare; MLflow's own limit is 36
_MOST_VALUES = 1000  # a batch, MLflow's own limit


class Delivery:
    """Writes entries of one spool into MLflow's runs.

    Attributes:
        calls: number of calls that got through; it tells a slow server from one that is away.
    """

    def __init__(self, server: Server, spool: Spool) -> None:
        self.calls = 0
        self._server = server
        self._spool = spool
        self._done: set[int] = set()  # places of entries that are written, but not noted yet
        self._doubtful: set[str] = set()  # runs that may have been made by a call whose answer never came
        # Values that MLflow may have already, by run; None until they are asked for.
        self._there: dict[str, set[tuple[str, int]] | None] = dict.fromkeys(spool.runs)

    def deliver(self) -> bool:
        """Write the next entries, and return whether there were any.

        Raises:
            Exception: the server is away, or the address is wrong; nothing is lost, and the next call goes on.
        """
        entries, upto = self._spool.take()
        runs: dict[str, list[tuple[int, Entry]]] = {}
        for place, entry in entries:
            if place not in self._done:
                runs.setdefault(entry["run"], []).append((place, entry))
        for key, own in runs.items():
            self._write(key, own)
        self._spool.delivered(upto, len(entries))
        self._done.clear()
        return bool(entries)

    def _write(self, key: str, entries: list[tuple[int, Entry]]) -> None:
        """Write one run's entries, in order, in as few calls as that takes."""
        run_id = self._spool.runs[key].id or self._make(key, entries[0][1])
        batch: list[tuple[int, Entry]] = []
        for place, entry in entries:
            batch.append((place, entry))
            if entry["do"] in ("inputs", "file", "end", "reopen"):
                self._send(key, run_id, batch)
                batch = []
        if batch:
            self._send(key, run_id, batch)

    def _send(self, key: str, run_id: str, batch: list[tuple[int, Entry]]) -> None:
        """Write values, params and tags at once, and then what the last entry asks for."""
        entries = [entry for _, entry in batch]
        for write, concerned in ((self._log, entries), (self._act, entries[-1:])):
            try:
                write(key, run_id, concerned)
            except Exception as error:
                # Artifacts may lie in a store of their own, whose errors must not hold up everything else.
                stored = write == self._act and entries[-1]["do"] == "file" and not is_unreachable(error)
                if meaning(error) != "refused" and not stored:
                    self._there[key] = None
                    raise
                for entry in concerned:
                    self._spool.refuse(entry, masked(str(error)))
        self._done.update(place for place, _ in batch)
        self.calls += 1

    def _log(self, key: str, run_id: str, entries: list[Entry]) -> None:
        metrics = [
            Metric(name, value, entry["time"], entry["step"])
            for entry in entries
            if entry["do"] == "log"
            for name, value in entry["values"].items()
        ]
        if metrics and key in self._there:
            there = self._there[key]
            if there is None:
                there = self._there[key] = self._known(run_id)
            metrics = [metric for metric in metrics if (metric.key, metric.step) not in there]
        params = {name: value for entry in entries for name, value in entry.get("params", {}).items()}
        tags = {
            name: value for entry in entries if entry["do"] != "start" for name, value in entry.get("tags", {}).items()
        }
        for start in range(0, max(len(metrics), 1), _MOST_VALUES):
            self._server.client.log_batch(
                run_id,
                metrics=metrics[start : start + _MOST_VALUES],
                params=[Param(name, value) for name, value in params.items()] if not start else [],
                tags=[RunTag(name, value) for name, value in tags.items()] if not start else [],
            )

    def _act(self, key: str, run_id: str, entries: list[Entry]) -> None:
        client = self._server.client
        [entry] = entries
        if entry["do"] == "inputs":
            client.log_inputs(run_id, [_input(part) for part in entry["parts"]])
        elif entry["do"] == "file":
            with tempfile.TemporaryDirectory() as scratch:
                path = Path(scratch) / Path(entry["file"]).name
                path.write_bytes(b64decode(entry["base64"]))
                client.log_artifact(run_id, str(path), str(Path(entry["file"]).parent).strip(".") or None)
        elif entry["do"] == "reopen":
            client.update_run(run_id, status="RUNNING")
        elif entry["do"] == "end":
            client.set_terminated(run_id, entry["status"], end_time=entry["time"])
            self._remove_doubles(key, run_id)
            self._there.pop(key, None)

    def _make(self, key: str, entry: Entry) -> str:
        """Make a run, or take up the one that a call without an answer or a driver that died has made."""
        tried = key in self._doubtful
        found = self._like(key) if tried or not self._spool.fresh else []
        self._doubtful.add(key)
        if found:
            run_id = str(found[0].info.run_id)
            self._there[key] = None
        else:
            run_id = self._create(key, entry)
        self._spool.created(key, run_id)
        if not tried and len(found) < 2:
            self._doubtful.discard(key)
        self.calls += 1
        return run_id

    def _create(self, key: str, entry: Entry) -> str:
        tags = {**entry["tags"], KEY: key}
        if parent := entry["parent"]:
            tags[_PARENT] = self._spool.runs[parent].id
        try:
            run = self._server.client.create_run(
                self._server.experiment_id, start_time=entry["time"], tags=tags, run_name=entry["name"]
            )
        except Exception as error:
            self._server.forget()
            if meaning(error) == "refused":  # then any run would be: there is something wrong with the experiment
                raise ConnectionError(f"no run can be made: {reason(error)}") from error
            raise
        return str(run.info.run_id)

    def _remove_doubles(self, key: str, run_id: str) -> None:
        """Take away empty runs that calls without an answer made after they had been looked for."""
        if key in self._doubtful:
            for run in self._like(key):
                if run.info.run_id != run_id:
                    self._server.client.delete_run(run.info.run_id)
            self._doubtful.discard(key)

    def _like(self, key: str) -> list[Run]:
        return list(self._server.client.search_runs([self._server.experiment_id], f"tags.`{KEY}` = '{key}'"))

    def _known(self, run_id: str) -> set[tuple[str, int]]:
        client = self._server.client
        names = client.get_run(run_id).data.metrics
        return {(metric.key, metric.step) for name in names for metric in client.get_metric_history(run_id, name)}


def _input(part: dict[str, Any]) -> DatasetInput:
    """A part of the data as MLflow has it: one that it has already, by name and digest, is not doubled."""
    profile = json.dumps({"num_rows": sum(part["counts"].values()), "counts": part["counts"]})
    source = json.dumps({"uri": part["source"]})
    dataset = Dataset(part["name"], part["digest"][:_DIGEST_CHARACTERS], "local", source, profile=profile)
    return DatasetInput(dataset, [InputTag(_USE, part["use"])])
