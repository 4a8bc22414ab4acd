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
from raygenre.tracking.retries import no_retries
from raygenre.tracking.server import Server
from raygenre.tracking.server_errors import TrackingAddressError
from raygenre.tracking.spool import Spool
from raygenre.tracking.tracker import SPOOL, Tracker
from tests.helpers.mlflow_server import MlflowServer, free_port, values
from tests.helpers.storages import empty_storage


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    """Return a storage with the embedded database."""
    return empty_storage(tmp_path_factory.mktemp("storage"))


@pytest.fixture(scope="module")
def server(storage: Storage) -> Server:
    return Server(storage)


@pytest.fixture
def tracker(storage: Storage, tmp_path: Path) -> Iterator[Tracker]:
    tracker = Tracker(Server(storage), tmp_path, tmp_path.name)
    yield tracker
    tracker.close()


def delivered(tracker: Tracker, run: str) -> str:
    """Flush the tracker, and return a run's MLflow id."""
    assert tracker.flush(60), tracker.unreachable_reason
    return tracker.run_id(run)


def test_a_run_has_a_parent_params_and_tags(tracker: Tracker, server: Server) -> None:
    parent = tracker.start("search", "search", tags={"study": "s"})
    child = tracker.start("trial", "trial", parent=parent, params={"dropout": 0.25}, tags={"seed": 3})
    run = server.client.get_run(delivered(tracker, child))
    assert run.data.tags["mlflow.parentRunId"] == tracker.run_id(parent)
    assert run.data.tags["role"] == "trial"
    assert run.data.params == {"dropout": "0.25"}
    assert run.data.tags["seed"] == "3"
    assert run.data.tags[KEY] == child
    assert run.info.status == "RUNNING"


def test_empty_params_and_tags_are_not_logged(tracker: Tracker, server: Server) -> None:
    empty: dict[str, object] = {"data": None, "starts": [], "space": {}, "reason": ""}
    run = tracker.start("search", "search", params=empty | {"seed": 0}, tags=empty | {"synthetic": False})
    tracker.set_tags(run, empty)
    tracker.end(run, "FINISHED", tags=empty)
    data = server.client.get_run(delivered(tracker, run)).data
    assert data.params == {"seed": "0"}
    assert data.tags["synthetic"] == "False"
    assert data.tags.keys().isdisjoint(empty)


def test_every_value_arrives_once_at_its_step(tracker: Tracker, server: Server) -> None:
    run = tracker.start("trial", "trial")
    for step in range(1, 401):
        tracker.log(run, {"loss": 1 / step, "accuracy": step / 400, "rate": 0.1}, step=step)
    tracker.end(run, "FINISHED", tags={"state": "complete"})
    run_id = delivered(tracker, run)
    assert values(server, run_id, "loss") == [(n, 1 / n) for n in range(1, 401)]
    finished = server.client.get_run(run_id)
    assert finished.info.status == "FINISHED"
    assert finished.data.tags["state"] == "complete"


def test_repeated_inputs_are_logged_once(tracker: Tracker, server: Server) -> None:
    parts = [
        Part("songs", "/songs", use, digest * 64, {"bells": 3, "storm": 4})
        for use, digest in (("training", "a"), ("test", "b"))
    ]
    run = tracker.start("search", "search")
    for _ in range(2):  # the second pass simulates a resumed search
        tracker.log_inputs(run, parts)
        inputs = server.client.get_run(delivered(tracker, run)).inputs
        assert inputs is not None
        logged = [(data.dataset.name, data.dataset.digest, data.tags[0].value) for data in inputs.dataset_inputs]
        assert sorted(logged) == [
            ("songs", "a" * 16, "training"),
            ("songs", "b" * 16, "test"),
        ]
    assert tracker.refused == 0


def test_a_whole_trial_takes_three_requests(storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offline = Tracker(Server(Storage(storage.root, f"http://127.0.0.1:{free_port()}")), tmp_path, "three")
    run = offline.start("trial", "trial", params={"dropout": 0.1}, tags={"seed": 1})
    for step in range(100):
        offline.log(run, {"loss": 1.0, "accuracy": 0.5}, step=step)
    offline.end(run, "FINISHED", tags={"state": "complete"})
    offline.close()
    server = Server(storage)
    calls = []

    def counted(name: str) -> None:
        call = getattr(server.client, name)

        def counting(*args: object, **kwargs: object) -> object:
            calls.append(name)
            return call(*args, **kwargs)

        monkeypatch.setattr(server.client, name, counting)

    for name in ("create_run", "log_batch", "set_terminated", "search_runs", "get_run", "get_metric_history"):
        counted(name)
    spool = Spool(tmp_path / SPOOL)
    spool.is_new = True  # as in a search that was never interrupted
    writer = MlflowWriter(server, spool)
    writer._logged.clear()
    assert writer.write_next()
    assert not writer.write_next()
    assert calls == ["create_run", "log_batch", "set_terminated"]


def test_the_next_driver_repeats_no_updates(storage: Storage, server: Server, tmp_path: Path) -> None:
    rows = [{"loss": 1.0 / epoch, "epoch": epoch} for epoch in (1, 2, 3)]
    ids = set()
    for count, status in ((2, "KILLED"), (3, "FINISHED")):
        tracker = Tracker(Server(storage), tmp_path, tmp_path.name)
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
def test_a_driver_that_lost_its_notes_creates_no_duplicates(
    storage: Storage, server: Server, tmp_path: Path, lost: str
) -> None:
    """A killed driver loses its records of delivered updates; a crash of the machine loses the spool's last lines."""
    rows = [{"loss": 1.0 / epoch, "rate": 0.1, "epoch": epoch} for epoch in (1, 2, 3)]
    tracker = Tracker(Server(storage), tmp_path, tmp_path.name)
    parent = tracker.start("search", "search")
    run = tracker.start("trial", "trial", parent=parent, params={"dropout": 0.5})
    tracker.log_missing(run, rows[:2])
    run_id = delivered(tracker, run)
    lines = tracker.spool.read_text().splitlines(keepends=True)
    tracker._sender.stop()
    notes = ('{"do":"created"', '{"do":"delivered"')
    remaining = [line for line in lines if not line.startswith(notes)] if lost == "notes" else lines[:1]
    tracker.spool.write_text("".join(remaining))

    second = Tracker(Server(storage), tmp_path, tmp_path.name)
    parent = second.start("search", "search")
    run = second.start("trial", "trial", parent=parent, params={"dropout": 0.5})
    second.log_missing(run, rows)
    second.end(run, "FINISHED")
    assert delivered(second, run) == run_id
    second.close()
    for name in ("loss", "rate"):
        assert [step for step, _ in values(server, run_id, name)] == [1, 2, 3]
    for key in (parent, run):
        assert len(server.client.search_runs([server.experiment_id], f"tags.`{KEY}` = '{key}'")) == 1


def test_an_ended_run_can_be_resumed(tracker: Tracker, server: Server) -> None:
    run = tracker.start("trial", "trial")
    tracker.end(run, "KILLED")
    run_id = delivered(tracker, run)
    assert server.client.get_run(run_id).info.status == "KILLED"
    assert not tracker.is_finished(run)
    assert tracker.start("trial", "trial") == run
    assert delivered(tracker, run) == run_id
    assert server.client.get_run(run_id).info.status == "RUNNING"
    assert tracker.open_runs() == [run]


def test_artifacts_are_stored_only_in_the_storage_folder(
    storage: Storage, tracker: Tracker, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    cwd = tmp_path_factory.mktemp("cwd")
    monkeypatch.chdir(cwd)
    run = tracker.start("search", "search")
    tracker.log_text(run, "hello", "note.txt")
    tracker.log_text(run, "below", "deep/note.txt")
    run_id = delivered(tracker, run)
    artifacts = {
        str(path.relative_to(storage.root / "artifacts" / run_id)): path.read_text()
        for path in (storage.root / "artifacts" / run_id).rglob("*.txt")
    }
    assert artifacts == {"artifacts/note.txt": "hello", "artifacts/deep/note.txt": "below"}
    assert not list(cwd.iterdir())


def test_rejected_updates_do_not_block_others(tracker: Tracker, server: Server) -> None:
    deleted, active = (tracker.start(name, "trial") for name in ("trial-0", "trial-1"))
    server.client.delete_run(delivered(tracker, deleted))
    tracker.log(deleted, {"loss": 1.0}, step=1)
    tracker.log(active, {"loss": 1.0}, step=1)
    assert values(server, delivered(tracker, active), "loss") == [(1, 1.0)]
    assert tracker.refused == 1
    assert "active" in tracker.spool.with_name("mlflow-spool-refused.jsonl").read_text()


def test_a_failing_artifact_store_does_not_block_updates(tracker: Tracker, server: Server, storage: Storage) -> None:
    run = tracker.start("trial", "trial")
    run_id = delivered(tracker, run)
    (storage.root / "artifacts").mkdir(exist_ok=True)
    (storage.root / "artifacts" / run_id).write_text("a file where a folder should be")
    tracker.log_text(run, "hello", "note.txt")
    tracker.log(run, {"loss": 1.0}, step=1)
    assert values(server, delivered(tracker, run), "loss") == [(1, 1.0)]
    assert tracker.refused == 1
    assert "note.txt" in tracker.spool.with_name("mlflow-spool-refused.jsonl").read_text()


def test_closing_restores_the_environment(storage: Storage, tmp_path: Path) -> None:
    before = dict(os.environ)
    tracker = Tracker(Server(storage), tmp_path, "environment")
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
    tracker.close()
    changed = {name for name in os.environ.keys() | before.keys() if os.environ.get(name) != before.get(name)}
    assert changed <= {"PYTEST_CURRENT_TEST", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"}


def test_no_retries_lasts_until_the_last_thread_leaves() -> None:
    first, second = no_retries(), no_retries()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
    second.__exit__(None, None, None)
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


class FixedStatus:
    """An HTTP server that responds to every request with the same status."""

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
    """Log as a search does, check that logging is fast and loses nothing, and return the reason for the outage."""
    tracker = Tracker(Server(Storage(folder, uri)), folder / "study", "unreachable")
    started = time.monotonic()
    run = tracker.start("trial", "trial")
    for step in range(500):
        tracker.log(run, {"loss": 1.0}, step=step)
    tracker.end(run, "FINISHED")
    assert time.monotonic() - started < 2
    reason = tracker.unreachable_reason
    assert not tracker.flush(0.1)
    tracker.close()
    assert Spool(folder / "study" / SPOOL).waiting == 502
    return reason


def test_a_closed_port_is_unreachable(tmp_path: Path) -> None:
    assert search_without_a_server(f"http://127.0.0.1:{free_port()}", tmp_path) == "connection refused"


def test_a_silent_server_is_unreachable(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        reason = search_without_a_server(f"http://127.0.0.1:{silent.getsockname()[1]}", tmp_path)
    assert reason == "no response yet"


@pytest.mark.parametrize(("status", "reason"), [(500, "responds with errors"), (503, "5xx"), (429, "too busy")])
def test_a_failing_or_busy_server_is_unreachable(tmp_path: Path, status: int, reason: str) -> None:
    server = FixedStatus(status)
    assert reason in search_without_a_server(server.uri, tmp_path)
    server.close()


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_address_raises_at_once(tmp_path: Path, status: int) -> None:
    server = FixedStatus(status)
    with pytest.raises(TrackingAddressError, match=str(status)):
        Tracker(Server(Storage(tmp_path, server.uri)), tmp_path / "study", "wrong")
    server.close()


def test_an_unknown_host_name_raises_at_once(tmp_path: Path) -> None:
    with pytest.raises(TrackingAddressError, match="no-such-name"):
        Tracker(Server(Storage(tmp_path, "http://no-such-name.invalid:5000")), tmp_path / "study", "wrong")


class Front:
    """A proxy in front of a real server; it can be shut down, or drop the server's responses.

    Attributes:
        lost: paths of the requests that receive no response.
        late: timers of the requests that reach the server with a delay.
    """

    def __init__(self, target: MlflowServer, *, port: int = 0, late: float | None = None) -> None:
        """Forward requests; with `late`, the first request of each kind is delayed by `late` s and gets no response."""
        self.lost: set[str] = set()
        self.late: list[threading.Timer] = []
        lost, timers = self.lost, self.late

        def deliver(request: urllib.request.Request) -> None:
            # If a retry has created the same object in the meantime, the server rejects this request.
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
                    timers.append(threading.Timer(late, deliver, [request]))
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


def test_a_restarted_server_gets_everything_once(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    """Simulate the restart with a proxy; the tests in tests/faults kill a real server."""
    front = Front(mlflow_server)
    tracker = Tracker(Server(Storage(tmp_path, front.uri)), tmp_path / "study", "restarted")
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
    runs = server.client.search_runs([server.experiment_id], f"tags.`{KEY}` LIKE 'restarted/%'")
    assert len(runs) == 5
    assert {run.info.status for run in runs} == {"FINISHED"}
    for saved in runs:
        if saved.data.tags["role"] == "trial":
            assert values(server, saved.info.run_id, "loss") == [(step, 1 / step) for step in range(1, 21)]
            assert len(values(server, saved.info.run_id, "rate")) == 20
        else:
            assert [file.path for file in server.client.list_artifacts(saved.info.run_id)] == ["note.txt"]
            assert saved.inputs is not None
            assert [data.dataset.digest for data in saved.inputs.dataset_inputs] == ["a" * 16]


@pytest.mark.parametrize("late", [0.0, 4.0])
def test_lost_responses_create_no_duplicates(mlflow_server: MlflowServer, tmp_path: Path, late: float) -> None:
    front = Front(mlflow_server, late=late)
    tracker = Tracker(Server(Storage(tmp_path, front.uri)), tmp_path / "study", f"lost-{late:g}")
    run = tracker.start("trial", "trial", params={"dropout": 0.5})
    rows = [{"loss": 1 / epoch, "rate": 0.1, "epoch": epoch} for epoch in range(1, 11)]
    tracker.log_missing(run, rows[:5])
    assert tracker.flush(60), tracker.unreachable_reason
    for timer in front.late:
        timer.join()
    tracker.log_missing(run, rows)
    tracker.end(run, "FINISHED")
    assert tracker.flush(60), tracker.unreachable_reason
    run_id = tracker.run_id(run)
    tracker.close()
    front.close()
    assert {path.rsplit("/", 1)[-1] for path in front.lost} >= {"create", "log-batch", "update"}
    server = Server(mlflow_server.storage(tmp_path))
    [saved] = server.client.search_runs([server.experiment_id], f"tags.`{KEY}` = '{run}'")
    assert saved.info.run_id == run_id
    assert saved.info.status == "FINISHED"
    for name in ("loss", "rate"):
        assert [step for step, _ in values(server, run_id, name)] == list(range(1, 11))
