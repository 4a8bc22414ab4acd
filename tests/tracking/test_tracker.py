import http.server
import os
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from raygenre.data.split_summary import Part
from raygenre.system.storage import Storage
from raygenre.tracking.mlflow_writer import KEY, MlflowWriter
from raygenre.tracking.server import Server, TrackingAddressError, no_retries
from raygenre.tracking.spool import Spool
from raygenre.tracking.tracker import SPOOL, Tracker
from tests.helpers.mlflow_server import MlflowServer, free_port, values
from tests.helpers.storages import empty_storage


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    """With the embedded database."""
    return empty_storage(tmp_path_factory.mktemp("storage"))


@pytest.fixture(scope="module")
def server(storage: Storage) -> Server:
    return Server(storage)


@pytest.fixture
def tracker(storage: Storage, tmp_path: Path) -> Iterator[Tracker]:
    tracker = Tracker(storage, tmp_path, tmp_path.name)
    yield tracker
    tracker.close()


def delivered(tracker: Tracker, run: str) -> str:
    """MLflow's id of a run, once everything is there."""
    assert tracker.flush(60), tracker.unreachable_reason
    return tracker.run_id(run)


def test_a_run_lies_below_its_parent(tracker: Tracker, server: Server) -> None:
    parent = tracker.start("search", "search", tags={"study": "s"})
    child = tracker.start("trial", "trial", parent=parent, params={"dropout": 0.25}, tags={"seed": 3})
    run = server.client.get_run(delivered(tracker, child))
    assert run.data.tags["mlflow.parentRunId"] == tracker.run_id(parent)
    assert run.data.tags["role"] == "trial"
    assert run.data.params == {"dropout": "0.25"}
    assert run.data.tags["seed"] == "3"
    assert run.data.tags[KEY] == child
    assert run.info.status == "RUNNING"


def test_every_value_arrives_once_and_in_its_step(tracker: Tracker, server: Server) -> None:
    run = tracker.start("trial", "trial")
    for step in range(1, 401):
        tracker.log(run, {"loss": 1 / step, "accuracy": step / 400, "rate": 0.1}, step=step)
    tracker.end(run, "FINISHED", tags={"state": "complete"})
    run_id = delivered(tracker, run)
    assert values(server, run_id, "loss") == [(n, 1 / n) for n in range(1, 401)]
    found = server.client.get_run(run_id)
    assert found.info.status == "FINISHED"
    assert found.data.tags["state"] == "complete"


def test_data_are_named_once_however_often_it_is_said(tracker: Tracker, server: Server) -> None:
    parts = [
        Part("songs", "/songs", use, digest * 64, {"bells": 3, "storm": 4})
        for use, digest in (("training", "a"), ("test", "b"))
    ]
    run = tracker.start("search", "search")
    for _ in range(2):  # as a driver that goes on with a search does
        tracker.log_inputs(run, parts)
        inputs = server.client.get_run(delivered(tracker, run)).inputs
        assert inputs is not None
        assert sorted((one.dataset.name, one.dataset.digest, one.tags[0].value) for one in inputs.dataset_inputs) == [
            ("songs", "a" * 16, "training"),
            ("songs", "b" * 16, "test"),
        ]
    assert tracker.refused == 0


def test_a_whole_trial_takes_three_calls(storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offline = Tracker(Storage(storage.root, f"http://127.0.0.1:{free_port()}"), tmp_path, "three")
    run = offline.start("trial", "trial", params={"dropout": 0.1}, tags={"seed": 1})
    for step in range(100):
        offline.log(run, {"loss": 1.0, "accuracy": 0.5}, step=step)
    offline.end(run, "FINISHED", tags={"state": "complete"})
    offline.close()
    server = Server(storage)
    calls = []

    def counted(name: str) -> None:
        call = getattr(server.client, name)

        def counting(*arguments: object, **named: object) -> object:
            calls.append(name)
            return call(*arguments, **named)

        monkeypatch.setattr(server.client, name, counting)

    for name in ("create_run", "log_batch", "set_terminated", "search_runs", "get_run", "get_metric_history"):
        counted(name)
    spool = Spool(tmp_path / SPOOL)
    spool.is_new = True  # as for a driver that never went away
    writer = MlflowWriter(server, spool)
    writer._logged.clear()
    assert writer.write_next()
    assert not writer.write_next()
    assert calls == ["create_run", "log_batch", "set_terminated"]


def test_what_was_said_is_not_said_again_by_the_next_driver(storage: Storage, server: Server, tmp_path: Path) -> None:
    rows = [{"loss": 1.0 / epoch, "epoch": epoch} for epoch in (1, 2, 3)]
    ids = set()
    for count, status in ((2, "KILLED"), (3, "FINISHED")):
        tracker = Tracker(storage, tmp_path, tmp_path.name)
        run = tracker.start("trial", "trial")
        tracker.log_missing(run, rows[:count])
        tracker.end(run, status)  # type: ignore[arg-type]
        ids.add(delivered(tracker, run))
        tracker.close()
    [run_id] = ids
    assert values(server, run_id, "loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert server.client.get_run(run_id).info.status == "FINISHED"
    assert len(server.client.search_runs([server.experiment_id], f"tags.`{KEY}` = '{run}'")) == 1


@pytest.mark.parametrize("lost", ["notes", "values"])
def test_a_driver_that_died_before_it_could_write_something_down_doubles_nothing(
    storage: Storage, server: Server, tmp_path: Path, lost: str
) -> None:
    """Killed before it noted what MLflow had taken; or the machine went down before the disk had the last lines."""
    rows = [{"loss": 1.0 / epoch, "rate": 0.1, "epoch": epoch} for epoch in (1, 2, 3)]
    tracker = Tracker(storage, tmp_path, tmp_path.name)
    parent = tracker.start("search", "search")
    run = tracker.start("trial", "trial", parent=parent, params={"dropout": 0.5})
    tracker.log_missing(run, rows[:2])
    run_id = delivered(tracker, run)
    lines = tracker.spool.read_text().splitlines(keepends=True)
    tracker._sender.stop()
    notes = ('{"do":"created"', '{"do":"delivered"')
    kept = [line for line in lines if not line.startswith(notes)] if lost == "notes" else lines[:1]
    tracker.spool.write_text("".join(kept))

    again = Tracker(storage, tmp_path, tmp_path.name)
    parent = again.start("search", "search")
    run = again.start("trial", "trial", parent=parent, params={"dropout": 0.5})
    again.log_missing(run, rows)
    again.end(run, "FINISHED")
    assert delivered(again, run) == run_id
    again.close()
    for name in ("loss", "rate"):
        assert [step for step, _ in values(server, run_id, name)] == [1, 2, 3]
    for key in (parent, run):
        assert len(server.client.search_runs([server.experiment_id], f"tags.`{KEY}` = '{key}'")) == 1


def test_an_ended_run_can_go_on(tracker: Tracker, server: Server) -> None:
    run = tracker.start("trial", "trial")
    tracker.end(run, "KILLED")
    run_id = delivered(tracker, run)
    assert server.client.get_run(run_id).info.status == "KILLED"
    assert not tracker.is_finished(run)
    assert tracker.start("trial", "trial") == run
    assert delivered(tracker, run) == run_id
    assert server.client.get_run(run_id).info.status == "RUNNING"
    assert tracker.open_runs() == [run]


def test_artifacts_lie_in_the_storage_and_nowhere_else(
    storage: Storage, tracker: Tracker, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path_factory.mktemp("here")
    monkeypatch.chdir(here)
    run = tracker.start("search", "search")
    tracker.log_text(run, "hello", "note.txt")
    tracker.log_text(run, "below", "deep/note.txt")
    run_id = delivered(tracker, run)
    found = {
        str(path.relative_to(storage.root / "artifacts" / run_id)): path.read_text()
        for path in (storage.root / "artifacts" / run_id).rglob("*.txt")
    }
    assert found == {"artifacts/note.txt": "hello", "artifacts/deep/note.txt": "below"}
    assert not list(here.iterdir())


def test_what_mlflow_refuses_is_put_aside_and_holds_nothing_up(tracker: Tracker, server: Server) -> None:
    gone, kept = (tracker.start(name, "trial") for name in ("trial-0", "trial-1"))
    server.client.delete_run(delivered(tracker, gone))
    tracker.log(gone, {"loss": 1.0}, step=1)
    tracker.log(kept, {"loss": 1.0}, step=1)
    assert values(server, delivered(tracker, kept), "loss") == [(1, 1.0)]
    assert tracker.refused == 1
    assert "active" in tracker.spool.with_name("mlflow-spool-refused.jsonl").read_text()


def test_artifacts_that_cannot_be_stored_hold_nothing_up(tracker: Tracker, server: Server, storage: Storage) -> None:
    run = tracker.start("trial", "trial")
    run_id = delivered(tracker, run)
    (storage.root / "artifacts").mkdir(exist_ok=True)
    (storage.root / "artifacts" / run_id).write_text("a file where a folder should be")
    tracker.log_text(run, "hello", "note.txt")
    tracker.log(run, {"loss": 1.0}, step=1)
    assert values(server, delivered(tracker, run), "loss") == [(1, 1.0)]
    assert tracker.refused == 1
    assert "note.txt" in tracker.spool.with_name("mlflow-spool-refused.jsonl").read_text()


def test_the_environment_is_as_it_was_afterwards(storage: Storage, tmp_path: Path) -> None:
    before = dict(os.environ)
    tracker = Tracker(storage, tmp_path, "environment")
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
    tracker.close()
    changed = {name for name in os.environ.keys() | before.keys() if os.environ.get(name) != before.get(name)}
    assert changed <= {"PYTEST_CURRENT_TEST", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"}


def test_threads_within_have_no_retries_until_the_last_one_leaves() -> None:
    first, second = no_retries(), no_retries()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
    second.__exit__(None, None, None)
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


class Answering:
    """A server that answers everything with one status."""

    def __init__(self, status: int) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def search_without_a_server(uri: str, folder: Path) -> str:
    """Say what a search says; it must take no time, lose nothing, and return why MLflow is away."""
    tracker = Tracker(Storage(folder, uri), folder / "study", "away")
    began = time.monotonic()
    run = tracker.start("trial", "trial")
    for step in range(500):
        tracker.log(run, {"loss": 1.0}, step=step)
    tracker.end(run, "FINISHED")
    assert time.monotonic() - began < 2
    trouble = tracker.unreachable_reason
    assert not tracker.flush(0.1)
    tracker.close()
    assert Spool(folder / "study" / SPOOL).waiting == 502
    return trouble


def test_a_server_that_is_not_there_is_away(tmp_path: Path) -> None:
    assert search_without_a_server(f"http://127.0.0.1:{free_port()}", tmp_path) == "connection refused"


def test_a_server_that_never_answers_is_away(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        trouble = search_without_a_server(f"http://127.0.0.1:{silent.getsockname()[1]}", tmp_path)
    assert trouble == "no answer yet"


@pytest.mark.parametrize(("status", "trouble"), [(500, "answers with errors"), (503, "5xx"), (429, "too busy")])
def test_a_server_that_cannot_answer_is_away(tmp_path: Path, status: int, trouble: str) -> None:
    server = Answering(status)
    assert trouble in search_without_a_server(server.uri, tmp_path)
    server.close()


@pytest.mark.parametrize("status", [401, 403, 404])
def test_an_address_that_is_wrong_is_an_error_at_once(tmp_path: Path, status: int) -> None:
    server = Answering(status)
    with pytest.raises(TrackingAddressError, match=str(status)):
        Tracker(Storage(tmp_path, server.uri), tmp_path / "study", "wrong")
    server.close()


def test_a_name_that_does_not_exist_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(TrackingAddressError, match="no-such-name"):
        Tracker(Storage(tmp_path, "http://no-such-name.invalid:5000"), tmp_path / "study", "wrong")


class Front:
    """In front of a real server: closed as if no server were there, or losing calls.

    Attributes:
        lost: paths of the calls that got no answer.
        late: timers of the calls that the server hears of later.
    """

    def __init__(self, target: MlflowServer, *, port: int = 0, late: float | None = None) -> None:
        """Forward everything; if `late` is given, the first call of each kind gets no answer, and is heard `late` s
        later."""
        self.lost: set[str] = set()
        self.late: list[threading.Timer] = []
        lost, timers = self.lost, self.late

        def hear(request: urllib.request.Request) -> None:
            # What was asked for again and made meanwhile is refused now.
            with suppress(urllib.error.HTTPError), urllib.request.urlopen(request, timeout=60):
                pass

        class Handler(http.server.BaseHTTPRequestHandler):
            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {"Content-Type": "application/json"}
                request = urllib.request.Request(target.uri + self.path, body or None, headers, method=self.command)
                losable = self.path.endswith(("/create", "/log-batch", "/update")) and self.path not in lost
                if late is not None and losable:
                    lost.add(self.path)
                    timers.append(threading.Timer(late, hear, [request]))
                    timers[-1].start()
                    if not late:
                        timers[-1].join()
                    self.close_connection = True
                    return
                try:
                    with urllib.request.urlopen(request, timeout=60) as answer:
                        status, content = answer.status, answer.read()
                except urllib.error.HTTPError as error:
                    status, content = error.code, error.read()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        for method in ("GET", "POST", "PUT"):
            setattr(Handler, f"do_{method}", Handler.forward)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self.uri = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        for timer in self.late:
            timer.join()
        self._server.shutdown()
        self._server.server_close()


def test_a_server_that_goes_away_and_comes_back_gets_everything_once(
    mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    """One that is killed is in tests/faults."""
    front = Front(mlflow_server)
    tracker = Tracker(Storage(tmp_path, front.uri), tmp_path / "study", "gone")
    parent = tracker.start("search", "search")
    for number in range(4):
        if number == 2:
            assert tracker.flush(60)
            front.close()
        run = tracker.start(f"trial-{number}", "trial", parent=parent, params={"dropout": number})
        for step in range(1, 21):
            tracker.log(run, {"loss": 1 / step, "rate": 0.1}, step=step)
        tracker.end(run, "FINISHED")
    tracker.log_text(parent, "hello", "note.txt")
    tracker.log_inputs(parent, [Part("songs", "/songs", "training", "a" * 64, {"bells": 3})])
    tracker.end(parent, "FINISHED")
    assert not tracker.flush(1)
    assert tracker.unreachable_reason == "connection refused"
    front = Front(mlflow_server, port=front.port)
    assert tracker.flush(60), tracker.unreachable_reason
    assert not tracker.unreachable_reason
    tracker.close()
    front.close()
    server = Server(mlflow_server.storage(tmp_path))
    runs = server.client.search_runs([server.experiment_id], f"tags.`{KEY}` LIKE 'gone/%'")
    assert len(runs) == 5
    assert {run.info.status for run in runs} == {"FINISHED"}
    for found in runs:
        if found.data.tags["role"] == "trial":
            assert values(server, found.info.run_id, "loss") == [(step, 1 / step) for step in range(1, 21)]
            assert len(values(server, found.info.run_id, "rate")) == 20
        else:
            assert [file.path for file in server.client.list_artifacts(found.info.run_id)] == ["note.txt"]
            assert found.inputs is not None
            assert [one.dataset.digest for one in found.inputs.dataset_inputs] == ["a" * 16]


@pytest.mark.parametrize("late", [0.0, 4.0])
def test_calls_that_are_heard_and_not_answered_double_nothing(
    mlflow_server: MlflowServer, tmp_path: Path, late: float
) -> None:
    losing = Front(mlflow_server, late=late)
    tracker = Tracker(Storage(tmp_path, losing.uri), tmp_path / "study", f"lost-{late:g}")
    run = tracker.start("trial", "trial", params={"dropout": 0.5})
    rows = [{"loss": 1 / epoch, "rate": 0.1, "epoch": epoch} for epoch in range(1, 11)]
    tracker.log_missing(run, rows[:5])
    assert tracker.flush(60), tracker.unreachable_reason
    for timer in losing.late:
        timer.join()
    tracker.log_missing(run, rows)
    tracker.end(run, "FINISHED")
    assert tracker.flush(60), tracker.unreachable_reason
    run_id = tracker.run_id(run)
    tracker.close()
    losing.close()
    assert {path.rsplit("/", 1)[-1] for path in losing.lost} >= {"create", "log-batch", "update"}
    server = Server(mlflow_server.storage(tmp_path))
    [found] = server.client.search_runs([server.experiment_id], f"tags.`{KEY}` = '{run}'")
    assert found.info.run_id == run_id
    assert found.info.status == "FINISHED"
    for name in ("loss", "rate"):
        assert [step for step, _ in values(server, run_id, name)] == list(range(1, 11))
