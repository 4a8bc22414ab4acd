"""Informs the user once about each trial that another program adds during a search."""

from typing import Any

from optuna.trial import TrialState
from ray import tune
from ray.tune.experiment import Trial

from raygenre.search.study.foreign_trials import foreign_trials
from raygenre.search.study.ledger import Ledger
from raygenre.search.trials.phases import Display

_NAME = "study"  # first column of the lines


class ForeignWatch(tune.Callback):
    """Displays the trials of other programs, and the enqueued trials that the search rejects."""

    def __init__(self, ledger: Ledger, display: Display) -> None:
        self._ledger = ledger
        self._display = display
        self._shown: set[int] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Return an empty state: the ledger contains everything, so Tune's pickled snapshots are never read."""
        return {}

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        self.report()

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self.report()

    def report(self) -> None:
        """Display the trials of other programs that have not been displayed yet."""
        for trial in foreign_trials(self._ledger):
            if trial.number not in self._shown:
                self._shown.add(trial.number)
                event = "is running" if trial.state == TrialState.RUNNING else f"ended as {trial.state.name.lower()}"
                self._display.info(
                    _NAME,
                    f"trial {trial.number} of another program {event}; this search does not train, count or change it",
                )

    def report_refusal(self, refusal: str) -> None:
        """Display why an enqueued trial was rejected."""
        self._display.info(_NAME, refusal)
