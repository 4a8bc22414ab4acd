"""What happens in Ray Tune, written down: every epoch into the ledger and MLflow, every end of a trial."""

from contextlib import suppress
from typing import Any

from optuna.trial import TrialState
from ray import tune
from ray.tune.experiment import Trial

from raygenre.search.study import checkpoint_retention
from raygenre.search.study.ledger import CHECKPOINT, Ledger
from raygenre.search.study.mlflow_ids import note_run_ids, trial_name
from raygenre.search.trials.trainable import OBJECTIVE, recorded
from raygenre.search.trials.trial_config import trial_config
from raygenre.tracking.tracker import Status, Tracker

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

GONE = "not kept: only the best trials' training states are"
"""The tag `checkpoint` of a trial without a training state; others have the path of its folder there."""


class TrialRecorder(tune.Callback):
    """Keeps the ledger and MLflow in step with the trials."""

    def __init__(self, ledger: Ledger, tracker: Tracker, parent: str) -> None:
        self._ledger = ledger
        self._tracker = tracker
        self._parent = parent
        self._open: set[int] = set()  # trials under way
        self._told: set[int] = set()  # trials whose end said that their training state is not kept

    def __getstate__(self) -> dict[str, Any]:
        """Nothing for Tune's snapshots, which are pickles that no one reads: the ledger has it all."""
        return {}

    def finish_recording(self) -> None:
        """Complete the runs of trials that ended while the driver before this one died."""
        note_run_ids(self._ledger, self._tracker)
        for trial in self._ledger.trials:
            if trial.state.is_finished() and not self._tracker.is_finished(self._run(trial.number)):
                self._start(trial_config(self._ledger, trial))
                rows = recorded(self._ledger.checkpoint_location(trial.number))
                self._tracker.log_missing(self._run(trial.number), [_selected(row) for row in rows])
                self._end(trial.number)
        self._keep_best_states()

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._start(trial.config)
        self._open.add(trial.config["number"])

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        if "halt" in result:
            raise OSError(result["halt"])
        if "epoch" not in result:
            return
        number, epoch = trial.config["number"], result["epoch"]
        self._ledger.report(number, epoch=epoch, loss=result["validation_loss"])
        if about := result.get("surroundings"):
            self._tracker.set_tags(self._run(number), about)
        self._tracker.log(self._run(number), {key: result[key] for key in METRICS}, step=epoch)
        note_run_ids(self._ledger, self._tracker)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        if not self._tracker.has_run(self._run(trial.config["number"])):  # its worker died before it began to train
            self._start(trial.config)
        self._end(trial.config["number"])
        self._keep_best_states()  # every other trial that ended is recorded by now

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self.on_trial_complete(iteration, trials, trial)

    def interrupt(self) -> None:
        """Close the runs of trials that a resumed search will go on with."""
        with suppress(OSError):  # a full disk may be why; the next driver takes the runs up again
            for number in sorted(self._open):
                self._tracker.end(self._run(number), "KILLED", tags={"state": "interrupted"})
        self._open.clear()

    def _start(self, config: dict[str, Any]) -> None:
        self._tracker.start(
            trial_name(config["number"]),
            "trial",
            parent=self._parent,
            params=config["setting"],
            tags={"trial": config["number"], "seed": config["seed"], "study": self._ledger.name},
        )
        self._tracker.set_tags(self._run(config["number"]), {CHECKPOINT: config["place"], "state": "running"})

    def _end(self, number: int) -> None:
        state = self._ledger.state(number)
        status: Status = "FAILED" if state == TrialState.FAIL else "FINISHED"
        kept = number in checkpoint_retention.kept(self._ledger)
        tags = {"state": state.name.lower(), CHECKPOINT: self._ledger.checkpoint_location(number) if kept else GONE}
        if not kept:
            self._told.add(number)
        if reason := self._ledger.failure(number):
            tags["failure"] = reason
        self._tracker.end(self._run(number), status, tags=tags)
        self._open.discard(number)

    def _keep_best_states(self) -> None:
        # Said before it is done: of what is gone, a driver after this one would not know whose it was.
        spare = checkpoint_retention.removable(self._ledger)
        for number in spare:
            if number not in self._told and self._tracker.has_run(self._run(number)):
                self._tracker.set_tags(self._run(number), {CHECKPOINT: GONE})
        self._ledger.save()
        checkpoint_retention.remove(self._ledger, spare)

    def _run(self, number: int) -> str:
        return self._tracker.key("trial", trial_name(number))


def _selected(row: dict[str, float]) -> dict[str, float]:
    """What MLflow keeps of an epoch, and its number."""
    return {key: row[key] for key in (*METRICS, "epoch")}
