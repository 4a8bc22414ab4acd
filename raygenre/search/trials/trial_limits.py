"""Checks the number of trials, the time budget and the patience before another trial starts."""

import math
import time
from collections.abc import Callable
from dataclasses import replace

from optuna.trial import TrialState

from raygenre.search.controls import Controls
from raygenre.search.space.objectives import is_multi_objective
from raygenre.search.study.ledger import Ledger
from raygenre.search.study.study_attributes import set_limits
from raygenre.search.study.time_used import TimeUsed
from raygenre.search.trials.phases import Display, short_duration
from raygenre.search.trials.search_timer import SearchTimer

ENDED_EARLY = "trials_ended_early"
"""Study attribute: why no more trials start, and the limits at that time.

The reason is also a tag of the search's run.
"""

_MARGIN = 1.1  # the estimate of the time left is multiplied by this factor
_CHECK = 1.0  # s between two checks of the time budget


class TrialLimits:
    """The limits of one search; the `Controls` may raise its number of trials and change its time budget.

    With a time budget, a trial starts only if it leaves enough time for the repeats and the final training. The first
    trial always starts; until an epoch has been timed, other trials start while any of the budget is left.

    Args:
        clock: returns the time in s.
    """

    def __init__(
        self,
        ledger: Ledger,
        controls: Controls,
        *,
        timer: SearchTimer,
        time_used: TimeUsed,
        display: Display,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._controls = controls
        self._timer = timer
        self._time_used = time_used
        self._display = display
        self._clock = clock
        recorded = ledger.study.user_attrs.get(ENDED_EARLY, {})
        self._reason: str = recorded["reason"] if recorded.get("limits") == self._limits() else ""
        self._reason_limits = self._limits()
        self._checked: tuple[float, int, int] | None = None
        timer.limited = self._limited
        if self.reason:
            timer.work = replace(timer.work, trials=len(ledger.trials))

    @property
    def reason(self) -> str:
        """Why the search does not start its remaining trials; empty as long as trials may start."""
        return self._reason if self._reason_limits == self._limits() else ""

    def left(self, started: int) -> int:
        """Return how many trials may still start after `started` trials, according to the latest check."""
        return 0 if self.reason else max(0, self._ledger.config.trials - started)

    def allow_another(self, started: int, ended: int) -> bool:
        """Return whether another trial may start.

        Args:
            started, ended: number of trials that this search has started so far, and how many of them have ended.
        """
        self._apply_wishes()
        if self.reason or started >= self._ledger.config.trials:
            return False
        if self._is_due(started, ended) and (reason := self._reason_to_end(started)):
            self._end(reason, started)
            return False
        return True

    def _apply_wishes(self) -> None:
        """Apply the latest number of trials and time budget from the `Controls`."""
        ledger, trials, budget = self._ledger, self._controls.trials, self._controls.time_budget
        if trials is not None and trials > ledger.config.trials:
            ledger.extend(trials)
            self._timer.work = replace(self._timer.work, trials=trials)
            self._display.info("trials", f"now {trials}")
        if budget is not None and budget != ledger.config.time_budget:
            set_limits(ledger, time_budget=budget)
            self._timer.work = replace(self._timer.work, trials=ledger.config.trials)
            self._display.info("time budget", f"now {short_duration(budget)}" if budget else "none now")

    def _is_due(self, started: int, ended: int) -> bool:
        """Return whether the time budget and the patience have to be checked again."""
        now = self._clock()
        if self._checked and self._checked[1:] == (started, ended) and now - self._checked[0] < _CHECK:
            return False
        self._checked = now, started, ended
        return True

    def _reason_to_end(self, started: int) -> str:
        config = self._ledger.config
        if config.patience and trials_since_better(self._ledger) >= config.patience:
            return f"none of the last {config.patience} trials was better than the best earlier trial"
        if not config.time_budget or not started:
            return ""
        left = self._budget_left()
        needed = self._timer.seconds_left_with(started + 1)
        if left > 0 if needed is None else needed * _MARGIN <= left:
            return ""
        budget = short_duration(config.time_budget)
        if left <= 0:
            return f"the time budget of {budget} is used up"
        return (
            f"{short_duration(left)} of the time budget of {budget} remain for the running trials, the repeats and "
            "the final training"
        )

    def _limited(self, seconds: float) -> float:
        """Return an estimate of the time left without the trials that the time budget will keep from starting."""
        if (left := self._budget_left()) >= seconds:
            return seconds
        return max(left, self._timer.seconds_left_with(len(self._ledger.trials)) or 0.0)

    def _budget_left(self) -> float:
        budget = self._ledger.config.time_budget
        return budget - self._time_used.seconds if budget else math.inf

    def _end(self, reason: str, started: int) -> None:
        self._reason, self._reason_limits = reason, self._limits()
        self._timer.work = replace(self._timer.work, trials=started)
        self._ledger.study.set_user_attr(ENDED_EARLY, {"reason": reason, "limits": self._limits()})
        self._display.info("trials", f"no more after {started} of {self._ledger.config.trials}: {reason}")

    def _limits(self) -> list[float]:
        """Return the values that a later driver compares to find out whether the recorded reason still applies."""
        config = self._ledger.config
        return [config.trials, config.time_budget, config.patience]


def trials_since_better(ledger: Ledger) -> int:
    """Return how many trials have ended since the best trial (with several objectives, the latest trial on the front).

    Trials that were stopped early count; failed trials do not. The number is 0 until the first trial is complete.
    """
    best = ledger.front() if is_multi_objective(ledger.config.objectives) else ledger.top(1)
    latest = max((trial.datetime_complete for trial in best if trial.datetime_complete), default=None)
    if latest is None:
        return 0
    return sum(
        trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
        and trial.datetime_complete is not None
        and trial.datetime_complete > latest
        for trial in ledger.trials
    )
