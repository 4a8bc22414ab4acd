import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from raygenre.registry.embedded import SCHEMAS
from raygenre.system.storage import Storage, resolve
from raygenre.tracking.check_server import check_tracking
from tests.helpers.mlflow_server import MlflowServer, free_port
from tests.helpers.storages import empty_storage


@contextmanager
def answering(status: int, text: str) -> Iterator[str]:
    """Run a server that sends the same response to every request, and return its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)  # s between polls
        thread.start()
        yield f"http://user:secret@127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_missing_database_is_not_created(tmp_path: Path) -> None:
    finding = check_tracking(resolve(tmp_path), SCHEMAS)
    assert finding.status == "ok"
    assert "nothing has been logged" in finding.found
    assert not list(tmp_path.iterdir())


def test_the_embedded_database_is_read(tmp_path: Path) -> None:
    finding = check_tracking(empty_storage(tmp_path), SCHEMAS)
    assert finding.status == "ok", finding.found
    assert finding.facts["runs"] == 0


def test_an_unknown_schema_is_a_warning(tmp_path: Path) -> None:
    finding = check_tracking(empty_storage(tmp_path), [])
    assert finding.status == "warning"
    assert "mlflow db upgrade sqlite:///" in finding.remedy


def test_a_damaged_database_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a database, but long enough to be read as one" * 100)
    finding = check_tracking(resolve(tmp_path), SCHEMAS)
    assert finding.status == "problem"
    assert "file is not a database" in finding.found
    assert "backup" in finding.remedy


def test_a_locked_database_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raygenre.tracking.check_server._LOCK_TIMEOUT", 0.1)
    storage = empty_storage(tmp_path)
    with closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        finding = check_tracking(storage, SCHEMAS)
    assert finding.status == "warning"
    assert "is locked by a process" in finding.found


def test_an_unreachable_server_is_a_problem(tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    finding = check_tracking(Storage(tmp_path, address), SCHEMAS)
    assert (finding.status, finding.found) == ("problem", f"{address} cannot be reached: connection refused")
    assert "--tracking-uri" in finding.remedy


@pytest.mark.parametrize(
    ("status", "text", "found"),
    [
        (401, "You are not authenticated", "authentication failed (401): unknown user or wrong password"),
        (403, "Permission denied", "permission denied (403)"),
        (403, "Invalid Host header - possible DNS rebinding attack detected", "rejected the Host header (403)"),
        (404, "<html>Not found</html>", "this is not the address of an MLflow server (404)"),
        (200, "<html>Welcome to nginx</html>", "this is not the address of an MLflow server (200)"),
        (500, "oops", "the server responds with an error (500)"),
    ],
)
def test_answers_that_are_not_mlflows_are_problems(status: int, text: str, found: str, tmp_path: Path) -> None:
    with answering(status, text) as address:
        finding = check_tracking(Storage(tmp_path, address), SCHEMAS)
    assert finding.status == "problem"
    assert found in finding.found
    assert "secret" not in f"{finding}"


@pytest.mark.parametrize("answer", [(200, '{"experiment": {}}'), (404, '{"error_code": "RESOURCE_DOES_NOT_EXIST"}')])
def test_a_server_without_runs_is_reachable(answer: tuple[int, str], tmp_path: Path) -> None:
    with answering(*answer) as address:
        assert check_tracking(Storage(tmp_path, address), SCHEMAS).status == "ok"


def test_a_real_server_is_reachable(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    finding = check_tracking(mlflow_server.storage(tmp_path), SCHEMAS)
    assert (finding.status, finding.found) == ("ok", f"{mlflow_server.uri} responds")


def test_other_addresses_are_not_opened(tmp_path: Path) -> None:
    finding = check_tracking(Storage(tmp_path, "postgresql://user:secret@127.0.0.1:1/mlflow"), SCHEMAS)
    assert finding.status == "warning"
    assert "secret" not in finding.found
