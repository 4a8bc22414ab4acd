from pathlib import Path

import pytest

from raygenre import tracking
from raygenre.storage import Storage, resolve
from raygenre.tracking import Tracker


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    return resolve(tmp_path_factory.mktemp("storage"))


@pytest.fixture
def tracker(storage: Storage) -> Tracker:
    return Tracker(storage)


def test_a_run_lies_below_its_parent(tracker: Tracker) -> None:
    parent = tracker.start("search", "search", tags={"study": "s"})
    child = tracker.start("trial", "trial", parent=parent, params={"dropout": 0.25}, tags={"seed": 3})
    run = tracker.client.get_run(child)
    assert run.data.tags["mlflow.parentRunId"] == parent
    assert run.data.tags["role"] == "trial"
    assert run.data.params == {"dropout": "0.25"}
    assert run.data.tags["seed"] == "3"


def test_every_value_arrives_once_and_in_its_step(tracker: Tracker) -> None:
    run_id = tracker.start("trial", "trial")
    for step in range(1, 401):
        tracker.log(run_id, {"loss": 1 / step, "accuracy": step / 400, "rate": 0.1}, step=step)
    tracker.end(run_id, "FINISHED", tags={"state": "complete"})
    history = tracker.client.get_metric_history(run_id, "loss")
    assert sorted((metric.step, metric.value) for metric in history) == [(n, 1 / n) for n in range(1, 401)]
    run = tracker.client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["state"] == "complete"


def test_values_go_out_in_batches(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    send = tracker.client.log_batch

    def counted(run_id: str, **batch: object) -> object:
        calls.append(batch)
        return send(run_id, **batch)  # type: ignore[arg-type]

    monkeypatch.setattr(tracker.client, "log_batch", counted)
    monkeypatch.setattr(tracking, "BATCH_SECONDS", 3600.0)
    run_id = tracker.start("trial", "trial")
    for step in range(100):
        tracker.log(run_id, {"loss": 1.0, "accuracy": 0.5}, step=step)
    tracker.end(run_id, "FINISHED")
    assert len(calls) <= 2


def test_rows_that_are_there_are_not_logged_again(tracker: Tracker) -> None:
    run_id = tracker.start("trial", "trial")
    rows = [{"loss": 1.0 / epoch, "epoch": epoch} for epoch in (1, 2, 3)]
    tracker.log_missing(run_id, rows[:2])
    tracker.end(run_id, "KILLED")
    tracker.log_missing(run_id, rows)
    tracker.end(run_id, "FINISHED")
    history = tracker.client.get_metric_history(run_id, "loss")
    assert sorted((metric.step, metric.value) for metric in history) == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert tracker.steps(run_id, "loss") == {1, 2, 3}


def test_a_run_whose_id_was_not_written_down_is_taken_up(tracker: Tracker) -> None:
    parent = tracker.start("search", "search", tags={"study_id": "one"})
    assert tracker.start("search", "search", tags={"study_id": "one"}) == parent
    assert tracker.start("search", "search", tags={"study_id": "two"}) != parent
    child = tracker.start("trial-0000", "trial", parent=parent)
    assert tracker.start("trial-0000", "trial", parent=parent) == child
    assert tracker.start("trial-0001", "trial", parent=parent) != child
    assert tracker.start("search", "search") != tracker.start("search", "search")  # nothing says that they are one


def test_an_ended_run_can_go_on(tracker: Tracker) -> None:
    run_id = tracker.start("trial", "trial")
    tracker.end(run_id, "KILLED")
    assert tracker.client.get_run(run_id).info.status == "KILLED"
    tracker.reopen(run_id)
    assert tracker.client.get_run(run_id).info.status == "RUNNING"


def test_runs_below_a_parent_are_found(tracker: Tracker) -> None:
    parent = tracker.start("search", "search")
    ended, running = (tracker.start(name, "trial", parent=parent) for name in ("trial-0", "trial-1"))
    tracker.end(ended, "FINISHED")
    assert {run.info.run_id: run.info.status for run in tracker.below(parent)} == {
        ended: "FINISHED",
        running: "RUNNING",
    }


def test_artifacts_lie_in_the_storage_and_nowhere_else(
    storage: Storage, tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_id = tracker.start("search", "search")
    tracker.text(run_id, "hello", "note.txt")
    assert [path.read_text() for path in (storage.root / "artifacts").rglob("note.txt")] == ["hello"]
    assert not list(tmp_path.iterdir())


def test_two_searches_share_one_experiment(storage: Storage, tracker: Tracker) -> None:
    assert Tracker(storage).experiment_id == tracker.experiment_id
