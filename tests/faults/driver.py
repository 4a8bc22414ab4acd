"""The tuning script as a process of its own, to be interrupted, killed and resumed, and a look at what it left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
from mlflow.entities import Run
from optuna.trial import FrozenTrial, TrialState

from raygenre.search.recorder import METRICS
from raygenre.storage import resolve
from raygenre.tracking import Tracker
from tests.test_tune import ROOT

STUDY = "autumn"


class Driver:
    """The script in a process group of its own, so that its whole cluster can be ended with it.

    Attributes:
        storage: where it keeps everything.
        trials, epochs: of its search.
    """

    def __init__(self, storage: Path, data: Path, *, trials: int, epochs: int, options: tuple[str, ...] = ()) -> None:
        self.storage = storage
        self.trials, self.epochs = trials, epochs
        self._new = [
            "--data", str(data), "--study", STUDY, "--trials", str(trials), "--epochs", str(epochs),
            "--top-k", "1", "--scheduler", "none", "--batch-size", "2", *options,
        ]  # fmt: skip
        self._process: subprocess.Popen[str] | None = None

    def start(self, *, resume: bool = False, options: tuple[str, ...] = ()) -> None:
        script = str(ROOT / "experiments" / "tune.py")
        told = ["--resume"] if resume else self._new
        self._process = subprocess.Popen(
            [sys.executable, script, "--storage", str(self.storage), *told, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def wait(self, timeout: float = 400) -> tuple[int, str]:
        """Return its exit status and all that it printed."""
        assert self._process
        printed, _ = self._process.communicate(timeout=timeout)
        return self._process.returncode, printed

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def interrupt(self) -> None:
        """Ctrl-C, to the driver."""
        assert self._process
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """The driver and its cluster die at once."""
        if self._process and self.running():
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.communicate()

    def kill_a_worker(self) -> bool:
        """One process that trains dies; False if none does so at the moment."""
        assert self._process
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                title = (folder / "cmdline").read_bytes()
                if title.startswith(b"ray::") and b"Impl" in title and os.getsid(int(folder.name)) == self._process.pid:
                    os.kill(int(folder.name), signal.SIGKILL)
                    return True
            except (FileNotFoundError, ProcessLookupError):
                continue
        return False

    def ledger(self) -> list[FrozenTrial]:
        """The trials of the study, as they are on disk now."""
        journal = self.storage / "studies" / STUDY / "journal.log"
        if not journal.exists():
            return []
        lock = optuna.storages.journal.JournalFileOpenLock(str(journal))
        backend = optuna.storages.journal.JournalFileBackend(str(journal), lock_obj=lock)
        try:
            return optuna.load_study(study_name=STUDY, storage=optuna.storages.JournalStorage(backend)).trials
        except KeyError:
            return []

    def epochs_done(self) -> int:
        """Epochs in the ledger, over all trials."""
        return sum(len(trial.intermediate_values) for trial in self.ledger())

    def wait_for_epochs(self, epochs: int, timeout: float = 240) -> None:
        deadline = time.monotonic() + timeout
        while self.epochs_done() < epochs:
            assert self.running(), self.wait()[1]
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def check_all_is_there(self) -> None:
        """Every trial once in study and MLflow, no run left open, every epoch of every metric once."""
        trials = self.ledger()
        assert [trial.state for trial in trials] == [TrialState.COMPLETE] * self.trials
        all_epochs = list(range(1, self.epochs + 1))
        assert all(sorted(trial.intermediate_values) == all_epochs for trial in trials)
        runs = {run.info.run_id: run for run in self.trial_runs()}
        assert sorted(runs) == sorted(trial.user_attrs["mlflow_run_id"] for trial in trials)
        tracker = Tracker(resolve(self.storage))
        every = tracker.client.search_runs([tracker.experiment_id])
        assert {run.info.status for run in every} == {"FINISHED"}
        for run_id in runs:
            for name in METRICS:
                steps = sorted(metric.step for metric in tracker.client.get_metric_history(run_id, name))
                assert steps == all_epochs, (run_id, name)

    def trial_runs(self) -> list[Run]:
        tracker = Tracker(resolve(self.storage))
        return list(tracker.client.search_runs([tracker.experiment_id], "tags.role = 'trial'"))
