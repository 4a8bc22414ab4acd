"""`raygenre ui` and `make ui`; make runs in a separate process and installs nothing."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from raygenre.cli import app
from raygenre.system.storage import resolve
from raygenre.tracking.server import Server
from tests.helpers.mlflow_server import free_port
from tests.helpers.project import ROOT


def make_ui(storage: Path, arguments: str, log: Path, **environment: str) -> subprocess.Popen[bytes]:
    command = ["make", "--old-file=.venv/run", "ui", f"BIN={Path(sys.executable).parent}", f"ARGS={arguments}"]
    with log.open("wb") as output:
        return subprocess.Popen(
            [*command, f"STORAGE={storage}"],
            cwd=ROOT,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=os.environ | environment,
        )


@pytest.mark.slow
def test_make_ui_shows_the_runs_of_a_storage(tmp_path: Path) -> None:
    server = Server(resolve(tmp_path / "results"))
    server.client.create_run(server.experiment_id, run_name="spring")
    port, log = free_port(), tmp_path / "log"
    process = make_ui(tmp_path / "results", f"--port {port}", log)
    try:
        deadline = time.monotonic() + 240
        while f"MLflow: http://127.0.0.1:{port}" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        ui = Server(resolve(tmp_path, f"http://127.0.0.1:{port}"))
        assert [run.info.run_name for run in ui.client.search_runs([ui.experiment_id])] == ["spring"]
        os.killpg(process.pid, signal.SIGINT)  # Ctrl-C in a terminal reaches all processes
        process.wait(60)  # the signal also ends make itself
        while "MLflow stopped" not in log.read_text():
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        with socket.socket() as client:
            assert client.connect_ex(("127.0.0.1", port))  # MLflow's server has also ended
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert "Traceback" not in log.read_text()


@pytest.mark.integration
def test_make_ui_prints_the_server_of_the_runs(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = make_ui(tmp_path, "", log, MLFLOW_TRACKING_URI="http://someone:secret@mlflow.example.org")
    assert process.wait(120) == 0, log.read_text()
    assert "The runs are on the tracking server: http://***@mlflow.example.org" in log.read_text()


def test_a_port_in_use_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = CliRunner().invoke(app, ["ui", "--storage", str(tmp_path), "--port", str(port)])
    assert result.exit_code == 2
    assert (
        result.stderr == f"error: port {port} on 127.0.0.1 cannot be used: it is in use; choose another with --port\n"
    )


def test_a_server_that_ends_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a database")
    result = CliRunner().invoke(app, ["ui", "--storage", str(tmp_path), "--port", str(free_port())])
    assert result.exit_code == 2
    [_, line] = result.stderr.splitlines()
    assert line.startswith("error: MLflow's server exited with status ")
    assert "file is not a database" in line
