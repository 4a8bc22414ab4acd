"""Run the tuning script in a separate process.

The driver can also interrupt, kill and resume the script, and check its recorded results.
"""

import importlib
import os
import runpy
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import optuna
import pytest
import typer
from mlflow.entities import Run
from optuna.trial import FrozenTrial, TrialState
from typer.testing import CliRunner, Result

from raygenre.search.space.config import Resources
from raygenre.search.study.create_or_load import ID
from raygenre.search.trials.finalists import REPEATS
from raygenre.search.trials.trial_result import METRICS
from raygenre.system.storage import resolve
from raygenre.tracking.mlflow_writer import KEY
from raygenre.tracking.server import Server
from tests.helpers.processes import titled
from tests.helpers.project import SCRIPT

STUDY = "autumn"
NARROW = Path(__file__).with_name("narrow.yaml")


class Driver:
    """The script, running in its own process group so that its whole cluster can be killed with it.

    Attributes:
        storage: folder for the study, runs and models.
        trials, epochs: number of trials and epochs in the search.
        concurrent: number of concurrent trials. Each trial needs a worker, which takes several seconds to import its
            modules.
        options: command-line options for every call, whether it starts or resumes the study.
        new: command-line options for the call that starts the study.
    """

    def __init__(
        self,
        storage: Path,
        data: Path,
        *,
        trials: int,
        epochs: int,
        concurrent: int = 1,
        options: tuple[str, ...] = (),
        new: tuple[str, ...] = ("--preset", "original", "--space", str(NARROW)),
    ) -> None:
        self.storage = storage
        self.trials, self.epochs = trials, epochs
        # --promote is needed because a model with so little training may be no better than chance.
        self._place = ["--promote", "--storage", str(storage), "--max-concurrent", str(concurrent), *options]
        self._new = [
            "--data", str(data), "--study", STUDY, "--trials", str(trials), "--epochs", str(epochs),
            "--top-k", "1", "--scheduler", "none", *new,
        ]  # fmt: skip
        self._process: subprocess.Popen[str] | None = None

    def start(self, *, resume: bool = False) -> None:
        arguments = ["--resume"] if resume else self._new
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *self._place, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def wait(self, timeout: float = 900) -> tuple[int, str]:
        """Wait until the script ends; return its exit code and all its output."""
        assert self._process
        printed, _ = self._process.communicate(timeout=timeout)
        return self._process.returncode, printed

    def finish(self) -> None:
        """Wait until the script ends, and check that it succeeded."""
        code, printed = self.wait()
        assert code == 0, printed

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def interrupt(self) -> None:
        """Send Ctrl-C to the driver."""
        assert self._process
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """Kill the driver and its cluster."""
        if self._process and self.running():
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()

    def kill_a_worker(self) -> bool:
        """Kill a training process; return False if none is currently running."""
        assert self._process
        for pid in titled("ray::"):
            with suppress(ProcessLookupError, FileNotFoundError):
                # Workers that are not training yet are not killed, because Ray Tune would mark their trials as failed.
                if ".train" in Path(f"/proc/{pid}/cmdline").read_text() and os.getsid(pid) == self._process.pid:
                    os.kill(pid, signal.SIGKILL)
                    return True
        return False

    def ledger(self) -> list[FrozenTrial]:
        """Return the trials of the stored study."""
        study = self._study()
        return study.trials if study else []

    def _study(self) -> optuna.Study | None:
        journal = self.storage / "studies" / STUDY / "journal.log"
        if not journal.exists():
            return None
        lock = optuna.storages.journal.JournalFileOpenLock(str(journal))
        backend = optuna.storages.journal.JournalFileBackend(str(journal), lock_obj=lock)
        try:
            return optuna.load_study(study_name=STUDY, storage=optuna.storages.JournalStorage(backend))
        except KeyError:
            return None

    def epochs_done(self) -> int:
        """Return the total number of epochs of all trials in the ledger."""
        return sum(len(trial.intermediate_values) for trial in self.ledger())

    def wait_for_epochs(self, epochs: int, timeout: float = 600) -> None:
        deadline = time.monotonic() + timeout
        while self.epochs_done() < epochs:
            assert self.running(), self.wait()[1]
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def check_all_is_there(self) -> None:
        """Check that the study and MLflow contain each run once, as finished, without missing or duplicate metrics."""
        trials = self.ledger()
        assert [trial.state for trial in trials] == [TrialState.COMPLETE] * self.trials
        all_epochs = list(range(1, self.epochs + 1))
        assert all(sorted(trial.intermediate_values) == all_epochs for trial in trials)
        runs = self.runs()
        names = [run.info.run_name for run in runs]
        # There is one run for the search, each trial, the finalist, each of its repeats and the final training.
        assert len(names) == len(set(names)) == 1 + self.trials + 1 + REPEATS + 1, names
        assert {run.info.status for run in runs} == {"FINISHED"}
        of_trials = [run.info.run_id for run in runs if run.data.tags["role"] == "trial"]
        assert sorted(of_trials) == sorted(map(str, self.run_ids()))
        client = self.server().client
        for run in runs:
            if run.data.tags["role"] in ("trial", "finalist"):
                for name in METRICS:
                    history = client.get_metric_history(run.info.run_id, name)
                    assert sorted(metric.step for metric in history) == all_epochs, (run.info.run_name, name)
            if run.data.tags["role"] in ("search", "final"):
                assert len(client.get_metric_history(run.info.run_id, "test_accuracy")) == 1
                assert len(client.list_artifacts(run.info.run_id)) >= 2

    def runs(self, role: str = "%") -> list[Run]:
        """Return the study's runs. The server may also contain runs of other studies with the same name."""
        study = self._study()
        assert study
        server = self.server()
        own = f"tags.`{KEY}` LIKE '{study.user_attrs[ID]}/{role}/%'"
        return list(server.client.search_runs([server.experiment_id], own))

    def trial_runs(self) -> list[Run]:
        return self.runs("trial")

    def run_ids(self) -> list[str | None]:
        """Return each trial's MLflow run id from the ledger."""
        study = self._study()
        assert study
        return [
            trial.user_attrs.get("mlflow_run_id") or study.user_attrs.get(f"mlflow_run_id/{trial.number}")
            for trial in study.trials
        ]

    def server(self) -> Server:
        """Return the tracking server with the study's runs."""
        return Server(resolve(self.storage))


@cache
def script() -> dict[str, Any]:
    """Return the script's namespace; loading it imports everything that the command needs."""
    importlib.import_module("raygenre.cli.tune_run")
    return runpy.run_path(str(SCRIPT))


def call(*arguments: str) -> Result:
    """Call the script in this process without a cluster, to test errors that occur before training starts."""
    app = typer.Typer()
    app.command()(script()["tune"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("raygenre.cli.tune_run.connect", lambda address: "no cluster")
        patch.setattr("raygenre.cli.tune_run.resources", lambda *_, private: Resources(1, 0))
        return CliRunner().invoke(app, arguments)
