"""Trial progress: a table on a live display, otherwise lines for each finished trial."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from ray import tune
from ray.tune.experiment import Trial

from raygenre.search.space.space import short
from raygenre.search.study.ledger import Ledger, losses
from raygenre.search.trials.phases import (
    INDENT,
    LINE_WIDTH,
    SILENCE,
    Display,
    TextTable,
    left_text,
    short_duration,
)
from raygenre.search.trials.search_timer import SearchTimer
from raygenre.search.trials.trial_columns import Column, cut, fitting, named, value_columns
from raygenre.search.trials.trial_config import TrialConfig
from raygenre.search.trials.trial_result import TrialResult
from raygenre.system.numbers import loss_text

_ROWS = 16  # trials in the table, which must fit on a terminal with 24 lines
_HEADER_EVERY = 20  # trials between headers
_ESTIMATE = 1.0  # s between two estimates of the time left
_GAP = 2  # characters between columns
_STATE = "state"  # the only left-aligned column
_STATES = {TrialState.COMPLETE: "done", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


class TrialProgress(tune.Callback):
    """Displays the trials of one search.

    If the display is live, pass `table` to its `live_table`; otherwise each finished trial is displayed on one line, or
    on several if its values do not fit. During long periods without a finished trial, a summary is displayed.
    """

    def __init__(self, ledger: Ledger, display: Display, timer: SearchTimer) -> None:
        self._ledger = ledger
        self._display = display
        self._timer = timer
        self._searched = ledger.config.distributions
        self._accuracy: dict[int, float] = {}  # validation accuracy in the last epoch of each trial
        self._running: set[int] = set()
        self._lines = 0
        self._estimated: tuple[float, float | None] = (-math.inf, None)  # time and value of the estimate
        epochs = ledger.config.epochs
        self._results = (Column("epoch", len(f"{epochs}/{epochs}")), Column("loss", 6), Column("accuracy", 6))

    def __getstate__(self) -> dict[str, Any]:
        """Return an empty state: the ledger contains everything, so Tune's pickled snapshots are never read."""
        return {}

    def table(self, width: int, height: int) -> TextTable:
        """Return a table of the running and the latest trials, and a summary of all trials.

        Args:
            width, height: size of the terminal, in characters.
        """
        trials = self._ledger.trials
        columns, gap = self._table_columns(width)
        return TextTable(
            columns=[column.name for column in columns],
            # Padded, so that the columns do not move when a cell becomes longer.
            rows=[[self._padded(trial, column) for column in columns] for trial in self._shown(trials, height)],
            left=frozenset({_STATE}),
            footer=self._summary(trials),
            gap=gap,
        )

    @contextmanager
    def stopped_at_end(self) -> Iterator[None]:
        """After this context exits, show no trial as running, because the table stays on the screen."""
        try:
            yield
        finally:
            self._running.clear()

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        number = TrialConfig.from_dict(trial.config).number
        self._running.add(number)
        self._timer.trial_started(number)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Record that a trial is waiting for a new worker."""
        number = TrialConfig.from_dict(trial.config).number
        self._running.discard(number)
        self._timer.trial_interrupted(number)

    def on_trial_save(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Record that a trial is waiting for a place, because Tune saves a trial only when pausing it."""
        self.on_trial_recover(iteration, trials, trial)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        if epoch := TrialResult.from_dict(result).epoch:
            number = TrialConfig.from_dict(trial.config).number
            self._accuracy[number] = epoch.validation_accuracy
            self._timer.epoch_ended(number, epoch)
        if not self._display.is_live and self._display.silence >= SILENCE:
            self._display.event("trials", "so far", self._summary(self._ledger.trials))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._end(TrialConfig.from_dict(trial.config).number)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._end(TrialConfig.from_dict(trial.config).number)

    def _end(self, number: int) -> None:
        self._running.discard(number)
        self._timer.trial_ended(number)
        if self._display.is_live:
            return
        trial = self._ledger.trial(number)
        width = LINE_WIDTH - len(INDENT) - len("pruned") - _GAP
        fixed = (Column("best", 6), Column("left", 6), *self._results)
        columns = fitting(fixed, self._searched, width=width, gap=_GAP)
        if self._lines % _HEADER_EVERY == 0:
            self._display.event("", "", _aligned([column.name for column in columns or fixed], columns or fixed))
        self._lines += 1
        best, left = self._ledger.lowest_loss(), self._seconds_left()
        summary = {
            "best": "–" if best is None else loss_text(best),
            "left": "–" if left is None else short_duration(left),
        }
        cells = [summary.get(column.name) or self._cell(trial, column) for column in columns or fixed]
        self._display.event(f"trial {number}", self._state(trial), _aligned(cells, columns or fixed))
        if not columns:
            values = value_columns(self._searched, short_names=True)
            cells = [self._cell(trial, column) for column in values]
            for line in named(values, cells, width=LINE_WIDTH - len(INDENT)):
                self._display.message(f"{INDENT}{line}")

    def _seconds_left(self) -> float | None:
        """Return an estimate of the time left, updated once a second because estimating is slow with many trials."""
        if time.monotonic() - self._estimated[0] >= _ESTIMATE:
            self._estimated = time.monotonic(), self._timer.seconds_left()
        return self._estimated[1]

    def _table_columns(self, width: int) -> tuple[list[Column], int]:
        """Return the columns of the live table and the width of the gaps between them, adapted to a narrow terminal."""
        number = Column("trial", len(str(self._ledger.config.trials)))
        columns = (number, Column(_STATE, len("running")), *self._results)
        without_accuracy = columns[:-1]
        for gap in (_GAP, 1):
            for fixed in (columns, without_accuracy):
                if fits := fitting(fixed, self._searched, width=width - gap, gap=gap):
                    return fits, gap
        return cut(without_accuracy, self._searched, width=width - 1, gap=1), 1

    def _shown(self, trials: list[FrozenTrial], height: int) -> list[FrozenTrial]:
        """Return the trials of the live table: those that have not ended, and the most recent of the others."""
        rows = max(1, min(_ROWS, height - 4))  # the other lines: a header, a footer of up to two lines, and the cursor
        unfinished = [trial for trial in trials if not trial.state.is_finished()][-rows:]
        ended = [trial for trial in trials if trial.state.is_finished()]
        latest = ended[len(ended) - min(rows - len(unfinished), len(ended)) :]
        return sorted([*unfinished, *latest], key=lambda trial: trial.number)

    def _state(self, trial: FrozenTrial) -> str:
        return _STATES.get(trial.state) or ("running" if trial.number in self._running else "waiting")

    def _padded(self, trial: FrozenTrial, column: Column) -> str:
        cell = self._cell(trial, column)
        return cell.ljust(column.width) if column.name == _STATE else cell.rjust(column.width)

    def _cell(self, trial: FrozenTrial, column: Column) -> str:
        if column.value:
            # A trial may be in the ledger before all of its values have been sampled.
            return short(trial.params[column.value]) if column.value in trial.params else "–"
        values = losses(trial)
        accuracy = self._accuracy.get(trial.number, math.nan)
        cells = {
            "trial": str(trial.number),
            _STATE: self._state(trial),
            "epoch": f"{max(values, default=0)}/{self._ledger.config.epochs}",
            "loss": loss_text(min(values.values())) if values else "–",
            "accuracy": "–" if math.isnan(accuracy) else f"{accuracy:.1%}",
        }
        return cells.get(column.name, "")

    def _summary(self, trials: list[FrozenTrial]) -> str:
        count = {state: sum(trial.state == state for trial in trials) for state in TrialState}
        ended = sum(trial.state.is_finished() for trial in trials)
        running = sum(self._state(trial) == "running" for trial in trials)
        best = self._ledger.lowest_loss()
        parts = [
            f"{ended} of {self._ledger.config.trials} ended",
            *([f"{running} running"] if running else []),
            *([f"{count[TrialState.PRUNED]} pruned"] if count[TrialState.PRUNED] else []),
            *([f"{count[TrialState.FAIL]} failed"] if count[TrialState.FAIL] else []),
            *([] if best is None else [f"best loss {loss_text(best)}"]),
        ]
        if ended < self._timer.work.trials:  # the last table stays on the screen, but its estimate would be outdated
            parts.append(left_text(self._timer.seconds_left) or "time left unknown")
        return " · ".join(parts)


def _aligned(cells: Sequence[str], columns: Sequence[Column]) -> str:
    return (" " * _GAP).join(f"{cell:>{column.width}}" for cell, column in zip(cells, columns, strict=True))
