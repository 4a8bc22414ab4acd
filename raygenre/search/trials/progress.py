"""A search as a person follows it: a live table on a terminal, a line for each finished trial elsewhere."""

import math
import time
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from ray import tune
from ray.tune.experiment import Trial
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from raygenre.search.space.space import short
from raygenre.search.study.ledger import Ledger, losses
from raygenre.search.trials.trainable import OBJECTIVE

_SHOWN = 16  # trials in the table, so that it fits a terminal of 24 lines
_WORDS = {TrialState.COMPLETE: "done", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


class Progress(tune.Callback):
    """Shows the trials of one search. Use as a context around `Tuner.fit`."""

    def __init__(self, ledger: Ledger, console: Console) -> None:
        self._ledger = ledger
        self._console = console
        self._searched = list(ledger.config.distributions)
        self._last: dict[int, dict[str, Any]] = {}
        self._running: set[int] = set()
        self._epochs_before = self._epochs()
        self._started = time.monotonic()
        self._live = Live(self, console=console, refresh_per_second=2) if console.is_terminal else None

    def __getstate__(self) -> dict[str, Any]:
        """Nothing for Tune's snapshots, which are pickles that no one reads: the ledger has it all."""
        return {}

    def __enter__(self) -> "Progress":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live:
            self._live.stop()

    def __rich__(self) -> Group:
        """The table, drawn anew at each refresh."""
        table = Table(box=None, padding=(0, 1), header_style="bold")
        for column in self._columns("state"):
            table.add_column(column, justify="left" if column == "state" else "right")
        trials = self._ledger.trials
        for trial in trials[-_SHOWN:]:
            table.add_row(*self._row(trial))
        return Group(table, Text(self._headline(trials)))

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._running.add(trial.config["number"])

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        if "epoch" in result:
            self._last[trial.config["number"]] = result

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._end(trial)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self._end(trial)

    def _end(self, trial: Trial) -> None:
        number = trial.config["number"]
        self._running.discard(number)
        if not self._live:
            frozen = self._ledger.trials[number]
            reason = self._ledger.failure(number)
            names = self._columns("")
            line = " ".join(f"{name} {value}".strip() for name, value in zip(names, self._row(frozen), strict=True))
            self._console.print(f"{line}{f': {reason}' if reason else ''} · {self._headline(self._ledger.trials)}",
                                soft_wrap=True, highlight=False)  # fmt: skip

    def _columns(self, state: str) -> list[str]:
        return ["trial", state, *(name.replace("_", " ") for name in self._searched), "epoch", "loss", "accuracy"]

    def _row(self, trial: FrozenTrial) -> tuple[str, ...]:
        values = losses(trial)
        state = _WORDS.get(trial.state) or ("running" if trial.number in self._running else "waiting")
        accuracy = self._last.get(trial.number, {}).get("validation_accuracy", math.nan)
        return (
            str(trial.number),
            state,
            # A trial is in the ledger before its last value is drawn.
            *(short(trial.params[name]) if name in trial.params else "–" for name in self._searched),
            f"{max(values, default=0)}/{self._ledger.config.epochs}",
            f"{min(values.values()):.3f}" if values else "–",
            "–" if math.isnan(accuracy) else f"{accuracy:.1%}",
        )

    def _headline(self, trials: list[FrozenTrial]) -> str:
        count = {state: sum(trial.state == state for trial in trials) for state in TrialState}
        best = [self._ledger.loss(trial.number) for trial in trials if trial.state == TrialState.COMPLETE]
        parts = [
            f"{count[TrialState.RUNNING]} running",
            f"{count[TrialState.PRUNED]} pruned",
            f"{count[TrialState.COMPLETE]} done",
            *([f"{count[TrialState.FAIL]} failed"] if count[TrialState.FAIL] else []),
            f"of {self._ledger.config.trials}",
            f"best {OBJECTIVE.replace('_', ' ').removeprefix('best ')} {min(best):.3f}" if best else "no best yet",
            self._time_left(trials, count),
        ]
        return " · ".join(parts)

    def _time_left(self, trials: list[FrozenTrial], count: dict[TrialState, int]) -> str:
        """By the epochs that a finished trial took on average, and the speed since this driver began."""
        ended = [trial for trial in trials if trial.state.is_finished()]
        done = self._epochs() - self._epochs_before
        if not ended or not done:
            return "time left unknown"
        usual = sum(len(losses(trial)) for trial in ended) / len(ended)
        running = [len(losses(trial)) for trial in trials if trial.state == TrialState.RUNNING]
        to_come = (self._ledger.config.trials - len(trials)) * usual + sum(max(usual - n, 0) for n in running)
        seconds = to_come * (time.monotonic() - self._started) / done
        return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {seconds:.0f} s left"

    def _epochs(self) -> int:
        return sum(len(losses(trial)) for trial in self._ledger.trials)
