"""`raygenre dashboard` on a study whose search is still running."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from typer.testing import CliRunner

from raygenre.cli import app
from raygenre.data.dataset import Dataset
from raygenre.search.space.samplers import sampler
from tests.conftest import new_ledger
from tests.helpers.mlflow_server import free_port

COMMAND = [sys.executable, "-c", "from raygenre.cli import app; app()", "dashboard"]


def fetch(url: str, process: subprocess.Popen[str]) -> bytes:
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None, process.communicate()[0]
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return bytes(answer.read())
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.2)


@pytest.mark.integration
def test_the_dashboard_shows_all_studies_and_running_ones(tracks: Dataset, tmp_path: Path) -> None:
    ledger = new_ledger(tmp_path / "studies", tracks, name="autumn")  # still open, so its lock is held
    draw = sampler("random", seed=0, trials=9)
    ledger.start_trial(draw, ledger.config.distributions)
    new_ledger(tmp_path / "studies", tracks, name="winter").close()
    port = free_port()
    process = subprocess.Popen(
        [*COMMAND, "--storage", str(tmp_path), "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    try:
        studies = json.loads(fetch(f"http://127.0.0.1:{port}/api/studies", process))["study_summaries"]
        assert [study["study_name"] for study in studies] == ["autumn", "winter"]
        study = studies[0]
        assert b"<title>" in fetch(f"http://127.0.0.1:{port}/dashboard", process)
        ledger.start_trial(draw, ledger.config.distributions)
        about = json.loads(fetch(f"http://127.0.0.1:{port}/api/studies/{study['study_id']}", process))
        assert [trial["state"] for trial in about["trials"]] == ["Running", "Running"]
        assert max(len(attribute["value"]) for attribute in about["user_attrs"]) < 250
        with socket.socket() as client, pytest.raises(OSError, match="refused"):
            client.connect(("127.0.0.2", port))  # it listens only on 127.0.0.1
        with socket.create_connection(("127.0.0.1", port)) as busy:
            busy.sendall(b"GET /dashboard HTTP/1.0\r\n")  # an incomplete request
            assert b"<title>" in fetch(f"http://127.0.0.1:{port}/dashboard", process)  # other requests are still served
            process.send_signal(signal.SIGINT)
            printed, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert f"2 studies: http://127.0.0.1:{port}/dashboard" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is no study in"),
        (["--study", "spring"], "there is no study spring"),
        (["--study-url", "sqlite:///NEW/study.db"], "there is no study yet in sqlite"),
    ],
)
def test_without_a_study_the_dashboard_names_make_tune(arguments: list[str], message: str, tmp_path: Path) -> None:
    arguments = [argument.replace("NEW", str(tmp_path)) for argument in arguments]
    result = CliRunner().invoke(app, ["dashboard", "--storage", str(tmp_path / "none"), *arguments])
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert "make tune" in result.stderr


def test_a_taken_port_is_an_error(tracks: Dataset, tmp_path: Path) -> None:
    new_ledger(tmp_path / "studies", tracks).close()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        arguments = ["dashboard", "--storage", str(tmp_path), "--port", str(taken.getsockname()[1])]
        result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "choose another with --port" in result.stderr
