"""No data is lost and no trial fails if MLflow is unreachable or the driver is killed during a search.

tests/servers/test_team.py covers a server that restarts while a driver is running.
"""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from raygenre.registry import champion
from raygenre.system.storage import resolve
from raygenre.tracking.server import Server
from raygenre.tracking.tracker import Tracker
from tests.helpers.driver import Driver
from tests.helpers.mlflow_server import MlflowServer, values
from tests.helpers.processes import until
from tests.helpers.project import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture
def mlflow_server(tmp_path: Path) -> Iterator[MlflowServer]:
    """An MLflow server that has not been started yet."""
    server = MlflowServer(tmp_path / "mlflow")
    yield server
    server.kill()


class ServerDriver(Driver):
    """A driver that records its runs on an MLflow server."""

    def __init__(self, folder: Path, data: Path, mlflow: MlflowServer, *, trials: int, epochs: int) -> None:
        super().__init__(folder, data, trials=trials, epochs=epochs, options=("--tracking-uri", mlflow.uri))
        self._mlflow = mlflow

    def server(self) -> Server:
        return Server(self._mlflow.storage(self.storage))


def test_the_embedded_database_may_be_locked(tmp_path: Path) -> None:
    storage = resolve(tmp_path)
    tracker = Tracker(Server(storage), tmp_path / "study", "locked")
    run = tracker.start("trial", "trial")
    assert tracker.flush(60)
    lock = sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    for step in range(1, 11):
        tracker.log(run, {"loss": 1 / step}, step=step)
    until(lambda: tracker.unreachable_reason == "the database is locked")  # MLflow would wait for 20 s
    assert not tracker.flush(0)
    lock.rollback()
    lock.close()
    assert tracker.flush(60)
    assert values(Server(storage), tracker.run_id(run), "loss") == [(step, 1 / step) for step in range(1, 11)]
    tracker.close()


def test_mlflow_is_unreachable_for_the_whole_search(
    tmp_path: Path, tracks_folder: Path, mlflow_server: MlflowServer
) -> None:
    driver = ServerDriver(tmp_path / "results", tracks_folder, mlflow_server, trials=2, epochs=2)
    driver.start()
    code, printed = driver.wait(500)
    assert code == 2, printed
    assert "is unreachable (connection refused). The search continues; updates are queued in" in printed
    assert "raygenre sync" in printed
    assert "Traceback" not in printed
    mlflow_server.start()
    place = ["--storage", str(driver.storage), "--tracking-uri", mlflow_server.uri]
    sync = [sys.executable, "-c", "from raygenre.cli import app; app()", "sync", *place]
    result = subprocess.run(sync, capture_output=True, text=True, timeout=300, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "updates uploaded" in result.stdout
    driver.check_all_is_there()
    assert champion.find(Server(mlflow_server.storage(driver.storage))) is None

    driver.start(resume=True)
    driver.finish()
    assert champion.find(Server(mlflow_server.storage(driver.storage))) is not None
    driver.check_all_is_there()


def test_a_kill_while_mlflow_is_unreachable_loses_nothing(
    tmp_path: Path, tracks_folder: Path, mlflow_server: MlflowServer
) -> None:
    mlflow_server.start()
    driver = ServerDriver(tmp_path / "results", tracks_folder, mlflow_server, trials=4, epochs=5)
    try:
        driver.start()
        driver.wait_for_epochs(2)
        mlflow_server.kill()
        driver.wait_for_epochs(6)
        driver.kill()
        driver.start(resume=True)
        driver.wait_for_epochs(10)
        driver.kill()
        mlflow_server.start()
        driver.start(resume=True)
        driver.finish()
        driver.check_all_is_there()
    finally:
        driver.kill()
