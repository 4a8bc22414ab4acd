"""Updates queued in any order reach MLflow, even if a driver dies; no update blocks another."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import ENDPOINT_NOT_FOUND, PERMISSION_DENIED

from raygenre.tracking.mlflow_writer import KEY, MlflowWriter
from raygenre.tracking.server import Server
from raygenre.tracking.spool import Spool, Update
from tests.helpers.mlflow_server import values
from tests.helpers.shared_views import unpack
from tests.helpers.storages import empty_storage

SEARCH, TRIAL = "search/spring", "trial/trial-0001"
VIEW = {"name": "spring", "metrics": ["loss"], "params": ["a"], "tags": [], "curves": ["loss"]}
UPDATES: tuple[Update, ...] = (
    {"do": "start", "run": SEARCH, "name": "spring", "parent": None, "params": {}, "tags": {"role": "search"}},
    {"do": "start", "run": TRIAL, "name": "trial-0001", "parent": SEARCH, "params": {"a": "1"}, "tags": {"b": "2"}},
    {"do": "tag", "run": TRIAL, "tags": {"c": "3"}},
    {"do": "log", "run": TRIAL, "values": {"loss": 1.0}, "step": 1},
    {"do": "log", "run": TRIAL, "values": {"loss": 0.5}, "step": 2},
    {"do": "end", "run": TRIAL, "status": "FINISHED", "tags": {"state": "complete"}},
    {"do": "end", "run": SEARCH, "status": "FAILED", "tags": {}},
    {"do": "view", "run": SEARCH, "view": VIEW},
    {"do": "file", "run": TRIAL, "file": "note.txt", "base64": "not base64!"},
    {"do": "inputs", "run": TRIAL},  # the required `parts` are missing
)
"""Updates, the last two of which cannot be written."""
_numbers = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    return Server(empty_storage(tmp_path_factory.mktemp("storage")))


def queued(folder: Path, updates: list[Update]) -> Path:
    """Return a spool file with updates for a new study."""
    path, study = folder / "spool.jsonl", f"study-{next(_numbers)}"
    spool = Spool(path)
    for time, update in enumerate(updates, 1):
        keys = {name: f"{study}/{update[name]}" for name in ("run", "parent") if update.get(name)}
        spool.append(update | keys | {"time": time})
    spool.close()
    return path


def written(server: Server, spool: Spool, run: str) -> Any:
    """Return the only run in MLflow with this key."""
    [key] = [key for key in spool.runs if key.endswith(run)]
    [found] = server.client.search_runs([server.experiment_id], f"tags.`{KEY}` = '{key}'")
    return found


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(UPDATES), deaths=st.lists(st.booleans(), min_size=3, max_size=3))
def test_any_order_and_any_death_delivers_everything(
    server: Server, tmp_path_factory: pytest.TempPathFactory, order: list[Update], deaths: list[bool]
) -> None:
    path = queued(tmp_path_factory.mktemp("study"), order)
    for died in deaths:
        spool = Spool(path)
        if died:  # MLflow received the updates, but the driver died before recording it
            lines = path.read_bytes()
            MlflowWriter(server, spool).write_next()
            spool.close()
            path.write_bytes(lines)
    spool = Spool(path)
    writer = MlflowWriter(server, spool)
    while writer.write_next():
        pass
    assert spool.waiting == 0
    trial, search = written(server, spool, TRIAL), written(server, spool, SEARCH)
    assert trial.data.tags["mlflow.parentRunId"] == search.info.run_id
    assert {"b": "2", "c": "3", "state": "complete"}.items() <= trial.data.tags.items()
    assert trial.data.params == {"a": "1"}
    assert sorted(values(server, trial.info.run_id, "loss")) == [(1, 1.0), (2, 0.5)]
    assert (trial.info.status, search.info.status) == ("FINISHED", "FAILED")
    study_id = search.data.tags[KEY].removesuffix(f"/{SEARCH}")
    views = server.client.get_experiment(server.experiment_id).tags
    assert (
        search.info.run_id
        in unpack(json.loads(views[f"mlflow.sharedViewState.raygenre-{study_id}"])["state"])["searchFilter"]
    )


def test_a_study_that_was_stuck_on_a_lost_start_heals(server: Server, tmp_path: Path) -> None:
    """A worker died before a trial's first epoch, so its `end` was queued without a `start` and blocked the others."""
    start_of_search, end_of_trial, end_of_search = UPDATES[0], UPDATES[5], UPDATES[6]
    spool = Spool(queued(tmp_path, [start_of_search, end_of_trial, end_of_search]))
    assert MlflowWriter(server, spool).write_next()
    assert (spool.waiting, spool.refused) == (0, 0)
    trial = written(server, spool, TRIAL)
    assert (trial.info.run_name, trial.data.tags["role"], trial.info.status) == ("trial-0001", "trial", "FINISHED")
    assert trial.data.tags["mlflow.parentRunId"] == written(server, spool, SEARCH).info.run_id


def test_what_cannot_be_written_is_kept_with_the_reason(server: Server, tmp_path: Path) -> None:
    spool = Spool(queued(tmp_path, [UPDATES[0], UPDATES[1], *UPDATES[-2:], UPDATES[6]]))
    assert MlflowWriter(server, spool).write_next()
    assert (spool.waiting, spool.refused) == (0, 2)
    assert written(server, spool, SEARCH).info.status == "FAILED"
    kept = spool.refused_path.read_text().splitlines()
    assert len(kept) == 2
    assert "note.txt" in kept[0]
    assert "KeyError: 'parts'" in kept[1]


@pytest.mark.parametrize("code", [PERMISSION_DENIED, ENDPOINT_NOT_FOUND])
def test_a_view_that_the_server_rejects_blocks_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def reject(*arguments: object) -> None:
        raise MlflowException("not for you", error_code=code)

    monkeypatch.setattr(server.client, "set_experiment_tag", reject)
    start, end, view = UPDATES[0], UPDATES[6], UPDATES[7]
    spool = Spool(queued(tmp_path, [start, view, end]))
    assert MlflowWriter(server, spool).write_next()
    assert (spool.waiting, spool.refused) == (0, 1)
    assert written(server, spool, SEARCH).info.status == "FAILED"
    assert "not for you" in spool.refused_path.read_text()
