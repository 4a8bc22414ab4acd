"""A search that is interrupted or killed loses nothing, and `--resume` finishes it as if nothing had happened."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from mlflow.entities import Run
from optuna.trial import FrozenTrial, TrialState

from raygenre.search.recorder import METRICS
from raygenre.storage import resolve
from raygenre.tracking_server import Server
from tests.test_tune import ROOT

pytestmark = pytest.mark.slow

TRIALS, EPOCHS = 4, 6


class Driver:
    """The script in a process group of its own, so that its whole cluster can be ended with it."""

    def __init__(self, storage: Path, data: Path, *options: str) -> None:
        self.storage = storage
        self._options = ["--storage", str(storage), *options]
        self._new = [
            "--data", str(data), "--study", "autumn", "--trials", str(TRIALS), "--epochs", str(EPOCHS),
            "--top-k", "1", "--scheduler", "none", "--batch-size", "2",
        ]  # fmt: skip
        self._process: subprocess.Popen[str] | None = None

    def start(self, *, resume: bool = False) -> None:
        script = str(ROOT / "experiments" / "tune.py")
        options = ["--resume"] if resume else self._new
        self._process = subprocess.Popen(
            [sys.executable, script, *self._options, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def wait(self, timeout: float = 240) -> tuple[int, str]:
        assert self._process
        printed, _ = self._process.communicate(timeout=timeout)
        return self._process.returncode, printed

    def interrupt(self) -> None:
        """Ctrl-C, to the driver."""
        assert self._process
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """The driver and its cluster die at once."""
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()

    def trials(self) -> list[FrozenTrial]:
        study = self._study()
        return study.trials if study else []

    def run_ids(self) -> list[str | None]:
        """MLflow's id of each trial's run, as the ledger has it."""
        study = self._study()
        assert study
        return [
            trial.user_attrs.get("mlflow_run_id") or study.user_attrs.get(f"mlflow_run_id/{trial.number}")
            for trial in study.trials
        ]

    def _study(self) -> optuna.Study | None:
        journal = self.storage / "studies" / "autumn" / "journal.log"
        if not journal.exists():
            return None
        backend = optuna.storages.journal.JournalFileBackend(
            str(journal), lock_obj=optuna.storages.journal.JournalFileOpenLock(str(journal))
        )
        return optuna.load_study(study_name="autumn", storage=optuna.storages.JournalStorage(backend))

    def wait_for_epochs(self, epochs: int) -> None:
        """Until the ledger has so many epochs, over all trials."""
        deadline = time.monotonic() + 240
        while sum(len(trial.intermediate_values) for trial in self.trials()) < epochs:
            assert self._process
            assert self._process.poll() is None, self.wait()[1]
            assert time.monotonic() < deadline
            time.sleep(0.2)


@pytest.fixture
def driver(tmp_path: Path, tracks_folder: Path) -> Iterator[Driver]:
    driver = Driver(tmp_path / "results", tracks_folder)
    yield driver
    driver.kill()


def trial_runs(storage: Path) -> list[Run]:
    server = Server(resolve(storage))
    return list(server.client.search_runs([server.experiment_id], "tags.role = 'trial'"))


def check_all_is_there(driver: Driver) -> None:
    """Every trial once in study and MLflow, no run left open, every epoch of every metric once."""
    trials = driver.trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * TRIALS
    assert all(sorted(trial.intermediate_values) == list(range(1, EPOCHS + 1)) for trial in trials)
    runs = {run.info.run_id: run for run in trial_runs(driver.storage)}
    assert sorted(runs) == sorted(map(str, driver.run_ids()))
    server = Server(resolve(driver.storage))
    every = server.client.search_runs([server.experiment_id])
    assert {run.info.status for run in every} == {"FINISHED"}
    for run_id in runs:
        for name in METRICS:
            steps = sorted(metric.step for metric in server.client.get_metric_history(run_id, name))
            assert steps == list(range(1, EPOCHS + 1)), (run_id, name)


def test_ctrl_c_ends_cleanly_and_says_how_to_go_on(driver: Driver) -> None:
    driver.start()
    driver.wait_for_epochs(3)
    driver.interrupt()
    code, printed = driver.wait()
    assert code == 130, printed
    assert "--resume --study autumn" in printed
    assert "Traceback" not in printed
    before = driver.trials()
    assert {run.info.status for run in trial_runs(driver.storage)} <= {"FINISHED", "KILLED"}

    driver.start(resume=True)
    code, printed = driver.wait()
    assert code == 0, printed
    after = driver.trials()
    for early, late in zip(before, after, strict=False):
        assert early.params == late.params
        assert early.intermediate_values.items() <= late.intermediate_values.items()  # nothing was trained anew
    check_all_is_there(driver)


def test_a_killed_driver_is_resumed_from_the_ledger(driver: Driver) -> None:
    driver.start()
    driver.wait_for_epochs(4)
    driver.kill()
    before = driver.trials()
    driver.start(resume=True)
    code, printed = driver.wait()
    assert code == 0, printed
    for early, late in zip(before, driver.trials(), strict=False):
        assert early.params == late.params
        assert early.intermediate_values.items() <= late.intermediate_values.items()
    check_all_is_there(driver)
