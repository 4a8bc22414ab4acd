"""The tuning script as a process of its own, to be interrupted, killed and resumed, and a look at what it left."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import optuna
from mlflow.entities import Run
from optuna.trial import FrozenTrial, TrialState

from raygenre.delivery import KEY
from raygenre.search.opening import ID
from raygenre.search.recorder import METRICS
from raygenre.storage import resolve
from raygenre.tracking_server import Server
from tests.processes import titled
from tests.test_tune import ROOT

STUDY = "autumn"
NARROW = Path(__file__).with_name("narrow.yaml")


class Driver:
    """The script in a process group of its own, so that its whole cluster can be ended with it.

    Attributes:
        storage: where it keeps everything.
        trials, epochs: of its search.
        options: of every call, resumed or not.
    """

    def __init__(self, storage: Path, data: Path, *, trials: int, epochs: int, options: tuple[str, ...] = ()) -> None:
        self.storage = storage
        self.trials, self.epochs = trials, epochs
        self._place = ["--storage", str(storage), *options]
        self._new = [
            "--data", str(data), "--study", STUDY, "--trials", str(trials), "--epochs", str(epochs),
            "--top-k", "1", "--scheduler", "none", "--space", str(NARROW),
        ]  # fmt: skip
        self._process: subprocess.Popen[str] | None = None

    def start(self, *, resume: bool = False) -> None:
        script = str(ROOT / "experiments" / "tune.py")
        told = ["--resume"] if resume else self._new
        self._process = subprocess.Popen(
            [sys.executable, script, *self._place, *told],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def wait(self, timeout: float = 900) -> tuple[int, str]:
        """Return its exit status and all that it printed."""
        assert self._process
        printed, _ = self._process.communicate(timeout=timeout)
        return self._process.returncode, printed

    def finish(self) -> None:
        """Wait until it has ended well."""
        code, printed = self.wait()
        assert code == 0, printed

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
        for pid in titled("ray::"):
            with suppress(ProcessLookupError, FileNotFoundError):
                if "Impl" in Path(f"/proc/{pid}/cmdline").read_text() and os.getsid(pid) == self._process.pid:
                    os.kill(pid, signal.SIGKILL)
                    return True
        return False

    def ledger(self) -> list[FrozenTrial]:
        """The trials of the study, as they are on disk now."""
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
        assert sorted(runs) == sorted(map(str, self.run_ids()))
        assert {run.info.status for run in self.runs()} == {"FINISHED"}
        server = self.server()
        for run_id in runs:
            for name in METRICS:
                steps = sorted(metric.step for metric in server.client.get_metric_history(run_id, name))
                assert steps == all_epochs, (run_id, name)

    def runs(self, role: str = "%") -> list[Run]:
        """The runs of its study; a server may have those of others, whose studies may go by the same name."""
        study = self._study()
        assert study
        server = self.server()
        own = f"tags.`{KEY}` LIKE '{study.user_attrs[ID]}/{role}/%'"
        return list(server.client.search_runs([server.experiment_id], own))

    def trial_runs(self) -> list[Run]:
        return self.runs("trial")

    def run_ids(self) -> list[str | None]:
        """MLflow's id of each trial's run, as the ledger has it."""
        study = self._study()
        assert study
        return [
            trial.user_attrs.get("mlflow_run_id") or study.user_attrs.get(f"mlflow_run_id/{trial.number}")
            for trial in study.trials
        ]

    def server(self) -> Server:
        """Where its runs are."""
        return Server(resolve(self.storage))
