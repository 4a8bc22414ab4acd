"""MLflow goes away in the middle of a real search, or never comes: no trial fails, and all arrives once in the end."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from raygenre import alias
from raygenre.search.recorder import METRICS
from raygenre.storage import resolve
from raygenre.tracking import Tracker
from raygenre.tracking_server import Server
from tests.faults.driver import Driver
from tests.mlflow_server import MlflowServer, values
from tests.test_tune import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture
def mlflow_server(tmp_path: Path) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path / "mlflow")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def driver(tmp_path: Path, tracks_folder: Path, mlflow_server: MlflowServer) -> Iterator[Driver]:
    options = ("--tracking-uri", mlflow_server.uri)
    driver = Driver(tmp_path / "results", tracks_folder, trials=4, epochs=6, options=options)
    yield driver
    driver.kill()


def check_everything_arrived_once(driver: Driver, mlflow_server: MlflowServer) -> None:
    server = Server(mlflow_server.storage(driver.storage))
    runs = server.client.search_runs([server.experiment_id])
    names = [run.info.run_name for run in runs]
    assert (
        len(names) == len(set(names)) == 1 + driver.trials + 1 + 2 + 1
    )  # search, trials, finalists, their re-runs, final
    assert {run.info.status for run in runs} == {"FINISHED"}
    trials = [run for run in runs if run.data.tags["role"] == "trial"]
    assert sorted(run.info.run_id for run in trials) == sorted(map(str, driver.run_ids()))
    for run in runs:
        if run.data.tags["role"] in ("trial", "finalist"):
            for name in METRICS:
                steps = [step for step, _ in values(server, run.info.run_id, name)]
                assert steps == list(range(1, driver.epochs + 1)), (run.info.run_name, name)
        if run.data.tags["role"] in ("search", "final"):
            assert len(values(server, run.info.run_id, "test_accuracy")) == 1
            assert len(server.client.list_artifacts(run.info.run_id)) >= 2


def test_the_embedded_database_may_be_locked(tmp_path: Path) -> None:
    storage = resolve(tmp_path)
    tracker = Tracker(storage, tmp_path / "study", "locked")
    run = tracker.start("trial", "trial")
    assert tracker.drain(60)
    lock = sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    for step in range(1, 11):
        tracker.log(run, {"loss": 1 / step}, step=step)
    assert not tracker.drain(25)  # MLflow itself waits for 20 s
    assert tracker.trouble == "the database is locked"
    lock.rollback()
    lock.close()
    assert tracker.drain(60)
    assert values(Server(storage), tracker.run_id(run), "loss") == [(step, 1 / step) for step in range(1, 11)]
    tracker.close()


def test_mlflow_goes_away_for_a_while(driver: Driver, mlflow_server: MlflowServer) -> None:
    driver.start()
    driver.wait_for_epochs(3)
    mlflow_server.kill()
    driver.wait_for_epochs(3 + 2 * driver.epochs)
    mlflow_server.start()
    driver.finish()
    assert alias.champion(mlflow_server.storage(driver.storage)) is not None
    check_everything_arrived_once(driver, mlflow_server)


def test_mlflow_is_away_for_the_whole_search(driver: Driver, mlflow_server: MlflowServer) -> None:
    mlflow_server.kill()
    driver.start()
    code, printed = driver.wait(500)
    assert code == 2, printed
    assert "is away (connection refused): the search goes on without it" in printed
    assert "raygenre sync" in printed
    assert "Traceback" not in printed
    mlflow_server.start()
    place = ["--storage", str(driver.storage), "--tracking-uri", mlflow_server.uri]
    sync = [sys.executable, "-c", "from raygenre.cli import app; app()", "sync", *place]
    result = subprocess.run(sync, capture_output=True, text=True, timeout=300, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "entries delivered" in result.stdout
    check_everything_arrived_once(driver, mlflow_server)
    assert alias.champion(mlflow_server.storage(driver.storage)) is None

    driver.start(resume=True)
    driver.finish()
    assert alias.champion(mlflow_server.storage(driver.storage)) is not None
    check_everything_arrived_once(driver, mlflow_server)


def test_killed_while_mlflow_is_away_and_resumed_when_it_is_back(driver: Driver, mlflow_server: MlflowServer) -> None:
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
    check_everything_arrived_once(driver, mlflow_server)
