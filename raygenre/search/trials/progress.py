"""The progress of trials: a table on a live display, otherwise one line per finished trial."""

import math
import time
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from ray import tune
from ray.tune.experiment import Trial

from raygenre.search.space.space import short
from raygenre.search.study.ledger import Ledger, losses
from raygenre.search.trials.phases import Display, TextTable, duration
from raygenre.search.trials.trial_config import TrialConfig
from raygenre.search.trials.trial_result import TrialResult
from raygenre.system.numbers import loss_text

_ROWS = 16  # trials in the table, which must fit a terminal with 24 lines
_HEADER_EVERY = 20  # trial lines between headers
_STATES = {TrialState.COMPLETE: "done", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


class TrialProgress(tune.Callback):
    """Displays the trials of one search.

    If the display is live, pass `table` to its `live_table`; otherwise each finished trial is displayed as a line.
    """

    def __init__(self, ledger: Ledger, display: Display) -> None:
        self._ledger = ledger
        self._display = display
        self._searched = list(ledger.config.distributions)
        self._accuracy: dict[int, float] = {}  # in the last epoch of each trial
        self._running: set[int] = set()
        self._epochs_before = self._epochs()
        self._started = time.monotonic()
        self._lines = 0

    def __getstate__(self) -> dict[str, Any]:
        """Return an empty state: Tune's pickled snapshots are never read, because the ledger has everything."""
        return {}

    def table(self) -> TextTable:
        """Return a table of the latest trials, with their states and values and a summary of all trials."""
        trials = self._ledger.trials
        return TextTable(
            columns=("trial", "state", *self._columns()),
            rows=[(str(trial.number), self._state(trial), *self._values(trial)) for trial in trials[-_ROWS:]],
            left=frozenset({"state"}),
            footer=self._summary(trials),
        )

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._running.add(TrialConfig.from_dict(trial.config).number)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        if epoch := TrialResult.from_dict(result).epoch:
            self._accuracy[TrialConfig.from_dict(trial.config).number] = epoch.validation_accuracy

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._end(TrialConfig.from_dict(trial.config).number)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._end(TrialConfig.from_dict(trial.config).number)

    def _end(self, number: int) -> None:
        self._running.discard(number)
        if self._display.is_live:
            return
        columns = ("best", "left", *self._columns())
        if self._lines % _HEADER_EVERY == 0:
            self._display.event("", "", "  ".join(f"{name:>7}" for name in columns))
        self._lines += 1
        trials = self._ledger.trials
        best, left = self._best(trials), self._seconds_left(trials)
        values = (
            "–" if best is None else loss_text(best),
            "–" if left is None else duration(left),
            *self._values(self._ledger.trial(number)),
        )
        cells = (f"{value:>{max(len(name), 7)}}" for name, value in zip(columns, values, strict=True))
        self._display.event(f"trial {number}", self._state(self._ledger.trial(number)), "  ".join(cells))

    def _columns(self) -> list[str]:
        return ["epoch", "loss", "accuracy", *(name.replace("_", " ") for name in self._searched)]

    def _state(self, trial: FrozenTrial) -> str:
        return _STATES.get(trial.state) or ("running" if trial.number in self._running else "waiting")

    def _values(self, trial: FrozenTrial) -> tuple[str, ...]:
        values = losses(trial)
        accuracy = self._accuracy.get(trial.number, math.nan)
        return (
            f"{max(values, default=0)}/{self._ledger.config.epochs}",
            loss_text(min(values.values())) if values else "–",
            "–" if math.isnan(accuracy) else f"{accuracy:.1%}",
            # A trial may be in the ledger before all of its values have been drawn.
            *(short(trial.params[name]) if name in trial.params else "–" for name in self._searched),
        )

    def _summary(self, trials: list[FrozenTrial]) -> str:
        count = {state: sum(trial.state == state for trial in trials) for state in TrialState}
        ended = sum(trial.state.is_finished() for trial in trials)
        best, left = self._best(trials), self._seconds_left(trials)
        parts = [
            f"{ended} of {self._ledger.config.trials} trials ended",
            f"{count[TrialState.RUNNING]} running",
            f"{count[TrialState.PRUNED]} pruned",
            *([f"{count[TrialState.FAIL]} failed"] if count[TrialState.FAIL] else []),
            "no result yet" if best is None else f"best validation loss {loss_text(best)}",
        ]
        if ended < self._ledger.config.trials:
            parts.append("time left unknown" if left is None else f"about {duration(left)} left")
        return " · ".join(parts)

    def _best(self, trials: list[FrozenTrial]) -> float | None:
        complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        return min((self._ledger.loss(trial.number) for trial in complete), default=None)

    def _seconds_left(self, trials: list[FrozenTrial]) -> float | None:
        """Estimate from the mean epochs of finished trials and this driver's speed; None if no trial has finished."""
        ended = [trial for trial in trials if trial.state.is_finished()]
        done = self._epochs() - self._epochs_before
        if not ended or not done:
            return None
        average = sum(len(losses(trial)) for trial in ended) / len(ended)
        running = [len(losses(trial)) for trial in trials if trial.state == TrialState.RUNNING]
        to_come = (self._ledger.config.trials - len(trials)) * average + sum(max(average - n, 0) for n in running)
        return to_come * (time.monotonic() - self._started) / done

    def _epochs(self) -> int:
        return sum(len(losses(trial)) for trial in self._ledger.trials)
