"""What happens in Ray Tune, written down: every epoch into the ledger and MLflow, every end of a trial."""

from typing import Any

from optuna.trial import TrialState
from ray import tune
from ray.tune.experiment import Trial

from raygenre.search.ledger import Ledger
from raygenre.search.trial import OBJECTIVE
from raygenre.tracking import Status, Tracker

METRICS = (
    OBJECTIVE,
    "validation_loss",
    "validation_accuracy",
    "train_loss",
    "train_accuracy",
    "learning_rate",
    "seconds",
    "images_per_second",
)
"""Per-epoch values in MLflow, in this order: the compare view takes the first."""


class Recorder(tune.Callback):
    """Keeps the ledger and MLflow in step with the trials."""

    def __init__(self, ledger: Ledger, tracker: Tracker, parent: str) -> None:
        self._ledger = ledger
        self._tracker = tracker
        self._parent = parent
        self._open: set[int] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Nothing for Tune's snapshots, which are pickles that no one reads: the ledger has it all."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        number = trial.config["number"]
        if number not in self._open:
            run_id = self._ledger.trial_run(number, lambda: self._start(trial.config))
            self._tracker.reopen(run_id)
            self._open.add(number)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        if "epoch" in result:
            number = trial.config["number"]
            self._ledger.report(number, epoch=result["epoch"], loss=result["validation_loss"])
            self._tracker.log(self._run(number), {key: result[key] for key in METRICS}, step=result["epoch"])

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._end(trial)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._end(trial)

    def interrupt(self) -> None:
        """Close the runs of trials that a resumed search will go on with."""
        for number in sorted(self._open):
            self._tracker.end(self._run(number), "KILLED")
        self._open.clear()

    def _start(self, config: dict[str, Any]) -> str:
        return self._tracker.start(
            f"trial-{config['number']:04d}",
            "trial",
            parent=self._parent,
            params=config["setting"],
            tags={"trial": config["number"], "seed": config["seed"], "study": self._ledger.name},
        )

    def _end(self, trial: Trial) -> None:
        number = trial.config["number"]
        state = self._ledger.state(number)
        statuses: dict[TrialState, Status] = {TrialState.FAIL: "FAILED"}
        tags = {"state": state.name.lower()}
        if reason := self._ledger.failure(number):
            tags["failure"] = reason
        self._tracker.end(self._run(number), statuses.get(state, "FINISHED"), tags=tags)
        self._ledger.forget_state(number)
        self._open.discard(number)

    def _run(self, number: int) -> str:
        def missing() -> str:
            raise LookupError(f"trial {number} has no MLflow run")

        return self._ledger.trial_run(number, missing)
