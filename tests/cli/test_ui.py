"""`make ui` as a separate process: MLflow's UI for a storage; make installs nothing."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

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
            env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"} | environment,
        )


@pytest.mark.slow
def test_make_ui_shows_the_runs_of_a_storage(tmp_path: Path) -> None:
    server = Server(resolve(tmp_path / "results"))
    server.client.create_run(server.experiment_id, run_name="spring")
    port, log = free_port(), tmp_path / "log"
    process = make_ui(tmp_path / "results", f"--port {port} --workers 1", log)
    try:
        deadline = time.monotonic() + 240
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
                    assert answer.status == 200
                    break
            except OSError:
                time.sleep(0.2)
        ui = Server(resolve(tmp_path, f"http://127.0.0.1:{port}"))
        assert [run.info.run_name for run in ui.client.search_runs([ui.experiment_id])] == ["spring"]
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.integration
def test_make_ui_prints_the_server_of_the_runs(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = make_ui(tmp_path, "", log, MLFLOW_TRACKING_URI="http://someone:secret@mlflow.example.org")
    assert process.wait(120) == 0, log.read_text()
    assert "The runs are on the tracking server: http://***@mlflow.example.org" in log.read_text()
