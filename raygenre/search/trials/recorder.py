"""Records each epoch and the end of each trial in the ledger and in MLflow."""

from contextlib import suppress
from typing import Any

from optuna.trial import TrialState
from ray import tune
from ray.tune.experiment import Trial

from raygenre.errors import FileAccessError
from raygenre.search.study import checkpoint_retention
from raygenre.search.study.ledger import CHECKPOINT, Ledger
from raygenre.search.study.mlflow_ids import note_run_ids, trial_name
from raygenre.search.trials.failure_reason import failure_reason, latest_error
from raygenre.search.trials.trainable import recorded_epochs
from raygenre.search.trials.trial_config import TrialConfig
from raygenre.search.trials.trial_result import TrialResult
from raygenre.tracking.tracker import Status, Tracker

GONE = "not kept: only the training states of the best trials are kept"
"""Value of the tag `checkpoint` of a trial whose training state was deleted; otherwise it is the state's path."""


ERROR_FILE = "error.txt"
"""Artifact of a failed run: the traceback of the exception that its worker raised."""


class TrialRecorder(tune.Callback):
    """Keeps the ledger and MLflow up to date with the trials."""

    def __init__(self, ledger: Ledger, tracker: Tracker, parent: str) -> None:
        self._ledger = ledger
        self._tracker = tracker
        self._parent = parent
        self._running: set[int] = set()
        self._tagged_gone: set[int] = set()  # finished trials whose run already has the tag GONE

    def __getstate__(self) -> dict[str, Any]:
        """Return an empty state: the ledger contains everything, so Tune's pickled snapshots are never read."""
        return {}

    def finish_recording(self) -> None:
        """Complete the MLflow runs of trials that finished just before an earlier driver died."""
        note_run_ids(self._ledger, self._tracker)
        for trial in self._ledger.trials:
            if trial.state.is_finished() and not self._tracker.is_finished(self._run(trial.number)):
                self._start(TrialConfig.of(self._ledger, trial))
                epochs = recorded_epochs(self._ledger.checkpoint_location(trial.number))
                self._tracker.log_missing(self._run(trial.number), [epoch.row for epoch in epochs])
                self._end(trial.number)
        self._delete_states()

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        config = TrialConfig.from_dict(trial.config)
        self._start(config)
        self._running.add(config.number)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Record an epoch.

        Raises:
            FileAccessError: the trial cannot write its training state, so the search stops.
        """
        report, number = TrialResult.from_dict(result), TrialConfig.from_dict(trial.config).number
        if report.halt:
            raise FileAccessError(report.halt)
        if report.traceback:
            self._tracker.log_text(self._run(number), report.traceback, ERROR_FILE)
        epoch = report.epoch
        if not epoch or self._ledger.state(number).is_finished():  # another program may have ended the trial
            return
        self._ledger.report(number, epoch=epoch.epoch, loss=epoch.validation_loss)
        if report.environment:
            self._tracker.set_tags(self._run(number), report.environment)
        self._tracker.log(self._run(number), epoch.metrics, step=epoch.epoch)
        note_run_ids(self._ledger, self._tracker)

    def on_trial_save(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Tag a trial's run as paused, because Tune saves a trial only when pausing it."""
        self._tracker.set_tags(self._run(TrialConfig.from_dict(trial.config).number), {"state": "paused"})

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._complete(TrialConfig.from_dict(trial.config))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Record the cause of the error in the ledger, because Tune passes it to callbacks but not to the searcher."""
        config, error = TrialConfig.from_dict(trial.config), latest_error(trial)
        self._ledger.finish(config.number, failure=failure_reason(error))
        self._complete(config, error)

    def interrupt(self) -> None:
        """End the runs of trials that a resumed search will continue."""
        with suppress(OSError):  # the disk may be full; the next driver reopens the runs anyway
            for number in sorted(self._running):
                self._tracker.end(self._run(number), "KILLED", tags={"state": "interrupted"})
        self._running.clear()

    def _complete(self, config: TrialConfig, error: str = "") -> None:
        run = self._run(config.number)
        if not self._tracker.has_run(run):  # the worker died before the training started
            self._start(config)
        if error:
            self._tracker.log_text(run, error, ERROR_FILE)
        self._end(config.number)
        self._delete_states()  # all other finished trials have been recorded by now

    def _start(self, config: TrialConfig) -> None:
        run = self._tracker.start(
            trial_name(config.number),
            "trial",
            parent=self._parent,
            params=config.params,
            tags={"trial": config.number, "seed": config.seed, "study": self._ledger.name},
        )
        self._tracker.set_tags(run, {CHECKPOINT: config.location, "state": "running"})

    def _end(self, number: int) -> None:
        state = self._ledger.state(number)
        status: Status = "FAILED" if state == TrialState.FAIL else "FINISHED"
        kept = number in checkpoint_retention.kept(self._ledger)
        tags = {"state": state.name.lower(), CHECKPOINT: self._ledger.checkpoint_location(number) if kept else GONE}
        if not kept:
            self._tagged_gone.add(number)
        if reason := self._ledger.failure(number):
            tags["failure"] = reason
        self._tracker.end(self._run(number), status, tags=tags)
        self._running.discard(number)

    def _delete_states(self) -> None:
        """Delete the training states of trials that are no longer among the best."""
        # Tag the runs first: after the deletion, a new driver could not tell which states had been deleted.
        spare = checkpoint_retention.removable(self._ledger)
        for number in spare:
            if number not in self._tagged_gone and self._tracker.has_run(self._run(number)):
                self._tracker.set_tags(self._run(number), {CHECKPOINT: GONE})
        self._ledger.save()
        checkpoint_retention.remove(self._ledger, spare)

    def _run(self, number: int) -> str:
        return self._tracker.key("trial", trial_name(number))
