"""Ends a search that cannot succeed: too many trials fail for one reason, or none completes."""

from typing import Any

from optuna.trial import TrialState
from ray import tune
from ray.tune.experiment import Trial

from raygenre.errors import RaygenreError
from raygenre.search.study.ledger import Ledger, losses
from raygenre.search.study.trial_attributes import ENDED_ELSEWHERE
from raygenre.search.trials.failure_reason import failure_kind, latest_error, raised_line, summary
from raygenre.search.trials.phases import Display
from raygenre.search.trials.trial_config import TrialConfig

RESTARTS = 3
"""Maximum number of restarts, with no completed epoch in between, of a trial whose worker or node keeps dying."""


class SearchFailedError(RaygenreError, RuntimeError):
    """Too many trials in a row failed for the same reason, or no trial completed. The saved study can be resumed."""


def check_completed(ledger: Ledger) -> None:
    """Check that a search has at least one completed trial.

    Raises:
        SearchFailedError: no trial completed; the message explains why.
    """
    if ledger.top(1):
        return
    failures = [failure for trial in ledger.trials if (failure := ledger.failure(trial.number))]
    if not failures:
        raise SearchFailedError(f"no trial of the study {ledger.name} completed: all were stopped early")
    raise SearchFailedError(
        f"no trial of the study {ledger.name} completed: {summary(failures)} "
        f"(to replace the failed trials, resume with --trials {ledger.config.trials + len(failures)})"
    )


class FailureWatch(tune.Callback, tune.Stopper):
    """Displays each kind of failure once, and ends a search after too many failures of one kind in a row.

    This callback must come after the callback that ends trials in the ledger.

    Args:
        limit: number of failures in a row after which the search ends; 0 for no limit.
    """

    def __init__(self, ledger: Ledger, display: Display, *, limit: int) -> None:
        self._ledger = ledger
        self._display = display
        self._limit = limit
        self._shown: set[str] = set()
        self._last: list[str] = []  # the latest failures, all for the same reason
        self._lost_after: dict[int, int] = {}  # the epoch after which each trial last lost its worker

    def __getstate__(self) -> dict[str, Any]:
        """Return an empty state: the ledger contains everything, so Tune's pickled snapshots are never read."""
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Return whether a trial must stop because another program has ended it in the study."""
        return self._ledger.state(TrialConfig.from_dict(result["config"]).number).is_finished()

    def stop_all(self) -> bool:
        """Return whether the search must end."""
        return 0 < self._limit <= len(self._last)

    def check(self) -> None:
        """Raise an error if the search has ended because too many trials failed for the same reason.

        Raises:
            SearchFailedError: too many trials in a row failed; the message states the cause.
        """
        if self.stop_all():
            more = self._ledger.config.trials + len(self._last)
            raise SearchFailedError(
                f"the last {len(self._last)} trials failed for the same reason: {self._last[0]} (--max-failures 0 "
                f"disables this check; to replace the failed trials, resume with --trials {more})"
            )

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        number = TrialConfig.from_dict(trial.config).number
        failure = self._ledger.failure(number)
        if self._ledger.state(number) != TrialState.FAIL or not failure:
            self._last = []
            return
        kind = failure_kind(failure)
        if kind not in self._shown:
            self._display.event(f"trial {number}", "failed", failure)
        if failure == ENDED_ELSEWHERE:  # the user ended the trial deliberately
            return
        self._shown.add(kind)
        alike = self._last if self._last and failure_kind(self._last[0]) == kind else []
        self._last = [*alike, failure]

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self.on_trial_complete(iteration, trials, trial)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Allow only one more attempt if the worker raised an exception, which would probably recur on another worker.

        If a trial loses its worker after a new epoch, its restarts are counted from 0 again, because a trial on spot
        nodes may lose many workers.
        """
        if raised_line(latest_error(trial)):
            trial.max_failures = 0
            return
        number = TrialConfig.from_dict(trial.config).number
        epoch = max(losses(self._ledger.trial(number)), default=0)
        if epoch > self._lost_after.get(number, 0):
            self._lost_after[number] = epoch
            trial.max_failures = trial.num_failures - 1 + RESTARTS
