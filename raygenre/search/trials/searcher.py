"""The searcher that Ray Tune asks for settings: Optuna, told the truth.

Ray's own OptunaSearch tells Optuna that a trial stopped by the scheduler is COMPLETE with the value it had so far,
so that samplers learn from losses of different epochs as if they were one thing. Here a trial ends as what it was.
"""

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from ray.tune.search import Searcher

from raygenre.search.study.ledger import Ledger
from raygenre.search.trials.trainable import OBJECTIVE
from raygenre.search.trials.trial_config import trial_config


class LedgerSearcher(Searcher):
    """Hands out what earlier drivers left unfinished, then new settings, until the ledger has its trials."""

    def __init__(self, ledger: Ledger, sampler: BaseSampler, space: Mapping[str, BaseDistribution]) -> None:
        super().__init__(metric=OBJECTIVE, mode="min")
        self._ledger = ledger
        self._sampler = sampler
        self._space = space
        ledger.complete_draws(sampler, space)
        for trial in ledger.unfinished():
            if failure := ledger.failure(trial.number):  # a driver was killed before it could say so to Optuna
                ledger.finish(trial.number, failure=failure)
        self._waiting = ledger.unfinished()
        self._numbers: dict[str, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing for Tune's snapshots, which are pickles that no one reads: the ledger has it all."""
        return {}

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Return the configuration of the next trial, or Tune's word for the end."""
        if self._waiting:
            trial = self._waiting.pop(0)
        elif len(self._ledger.trials) < self._ledger.config.trials:
            trial = self._ledger.start_trial(self._sampler, self._space)
        else:
            return Searcher.FINISHED  # type: ignore[return-value]
        self._numbers[trial_id] = trial.number
        return trial_config(self._ledger, trial)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing: Ray does not call this for the result at which a trial is stopped; the recorder hears them all."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the ledger that a trial ended, and how."""
        number = self._numbers.pop(trial_id)
        failure = "its worker died repeatedly or raised an error" if error else (result or {}).get("failure")
        self._ledger.finish(number, failure=failure, measured=result)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the ledger is on disk already."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: a searcher is made anew from the ledger."""
