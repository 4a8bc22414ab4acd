"""A Ray Tune scheduler that runs at most as many trials at once as a search has places.

A trial over the limit pauses after the epoch in progress, and then has no worker. Its training state is saved before
each epoch is reported, so the trial can later continue after its last epoch without Ray Tune's checkpoints. If the
search has to stop, all trials pause in this way, and Tune ends.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from raygenre.search.trials.places import Places

if TYPE_CHECKING:
    from ray.tune.execution.tune_controller import TuneController

_IDLE = 0.1  # s to wait in Tune's loop while no trial has a place


class PlacesScheduler(FIFOScheduler, tune.Stopper):
    """Wraps a Ray Tune scheduler so that no more trials run than there are places; ends Tune if the search has to stop.

    Args:
        rule: decides which trials are stopped early.
        epochs: number of epochs after which a trial ends on its own.
        waiting: returns how many trials could still be started.
        is_ended: returns whether another program has ended the trial with a given configuration.
    """

    def __init__(
        self,
        rule: TrialScheduler,
        places: Places,
        *,
        epochs: int,
        waiting: Callable[[], int],
        is_ended: Callable[[dict[str, Any]], bool],
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rule = rule
        self._places = places
        self._epochs = epochs
        self._waiting = waiting
        self._is_ended = is_ended
        self._controller: Any = None  # set when the first trial is added
        self._pausing: set[str] = set()  # trials that are about to pause

    def __getstate__(self) -> dict[str, Any]:
        """Return an empty state: the ledger contains everything, so Tune's pickled snapshots are never read."""
        return {}

    def may_start(self) -> bool:
        """Return whether a new trial may start: a place is free, and no paused trial is waiting for it."""
        live, placed = self._live(), self._placed()
        if not live:  # without trials, Tune only polls for a new one
            self._places.report("trials", wanted=self._waiting())
        if any(trial.status == Trial.PAUSED or trial.trial_id in self._pausing for trial in live):
            return False
        pending = sum(trial.status == Trial.PENDING for trial in placed)
        return self._places.fits(len(placed)) and self._places.may_ask(pending)

    def on_trial_add(self, tune_controller: "TuneController", trial: Trial) -> None:
        wrapper: Any = tune_controller
        self._controller = wrapper._tune_controller
        self.rule.on_trial_add(tune_controller, trial)

    def on_trial_error(self, tune_controller: "TuneController", trial: Trial) -> None:
        """Forget that a trial was about to pause, because its worker died first."""
        self._pausing.discard(trial.trial_id)
        self.rule.on_trial_error(tune_controller, trial)

    def on_trial_result(self, tune_controller: "TuneController", trial: Trial, result: dict[str, Any]) -> str:
        """Return Tune's decision on whether a trial continues."""
        decision = str(self.rule.on_trial_result(tune_controller, trial, result))
        if decision != TrialScheduler.CONTINUE or result.get("epoch", self._epochs) >= self._epochs:
            return decision
        limit = self._places.limit
        if limit is None or len(self._placed()) <= limit:
            return decision
        self._pausing.add(trial.trial_id)
        return str(TrialScheduler.PAUSE)

    def on_trial_complete(self, tune_controller: "TuneController", trial: Trial, result: dict[str, Any]) -> None:
        self.rule.on_trial_complete(tune_controller, trial, result)

    def on_trial_remove(self, tune_controller: "TuneController", trial: Trial) -> None:
        self.rule.on_trial_remove(tune_controller, trial)

    def choose_trial_to_run(self, tune_controller: "TuneController") -> Trial | None:
        """Assign free places to paused trials, and reclaim surplus places from trials that have not started yet."""
        if (controller := self._controller) is None:  # no trial has been added yet
            return None
        self._pausing &= {trial.trial_id for trial in self._live() if trial.status != Trial.PAUSED}
        placed, limit = self._placed(), self._places.limit
        pending = [trial for trial in placed if trial.status == Trial.PENDING]
        while limit is not None and len(placed) > limit and pending:
            trial = pending.pop()
            if self._take_back(trial):
                placed.remove(trial)
        paused = self._paused()
        self._places.report("trials", wanted=len(placed) + len(paused) + self._waiting(), running=len(placed))
        while paused and self._places.fits(len(placed)) and self._places.may_ask(len(pending)):
            if not self._is_ended(paused[0].config):
                return paused[0]
            controller.stop_trial(paused.pop(0))  # another program has ended the trial
        if pending:
            return pending[0]
        if not self._places.fits(len(placed)) or not self._waiting():
            # A worker kept for the next trial would occupy a place that the search may not use or does not need.
            controller._cleanup_cached_actors(force_all=True)
        if not placed:
            time.sleep(_IDLE)
        return None

    def debug_string(self) -> str:
        return str(self.rule.debug_string())

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Never stop a trial here; `on_trial_result` pauses the trials instead."""
        return False

    def stop_all(self) -> bool:
        """Return whether the search has to stop and no trial is training."""
        return self._places.controls.stopping and not any(trial.status == Trial.RUNNING for trial in self._live())

    def _live(self) -> list[Trial]:
        """Return the trials that have not ended, in order."""
        trials = self._controller._live_trials if self._controller else ()
        return sorted((trial for trial in trials if not trial.is_finished()), key=_number)

    def _placed(self) -> list[Trial]:
        """Return the trials that have a place or have requested one from Ray, except those about to pause."""
        return [
            trial
            for trial in self._live()
            if trial.status in (Trial.PENDING, Trial.RUNNING) and trial.trial_id not in self._pausing
        ]

    def _paused(self) -> list[Trial]:
        return [trial for trial in self._live() if trial.status == Trial.PAUSED]

    def _take_back(self, trial: Trial) -> bool:
        """Pause a trial whose worker has not started, and return whether that was possible."""
        controller = self._controller
        if trial not in controller._trial_to_actor or trial in controller._resetting_trials:
            return False
        controller._unstage_trial_with_resources(trial)
        controller.pause_trial(trial, should_checkpoint=False)
        return True


def _number(trial: Trial) -> int:
    number: int = trial.config["number"]
    return number
