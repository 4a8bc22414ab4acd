"""The Ray Tune searcher: takes settings from Optuna and reports real final states to it.

Ray's own OptunaSearch reports a trial that the scheduler stopped as COMPLETE with its latest value, so samplers
compare losses from different epochs. Here, such a trial ends as PRUNED; see `Ledger.finish`.
"""

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from ray.tune.search import Searcher

from raygenre.search.study.ledger import Ledger
from raygenre.search.trials.trial_config import TrialConfig
from raygenre.search.trials.trial_result import OBJECTIVE, TrialResult

WORKER_FAILED = "its worker died repeatedly or raised an error"


class LedgerSearcher(Searcher):
    """Suggests trials that earlier drivers left unfinished, then new trials until the study has all its trials."""

    def __init__(self, ledger: Ledger, sampler: BaseSampler, space: Mapping[str, BaseDistribution]) -> None:
        super().__init__(metric=OBJECTIVE, mode="min")
        self._ledger = ledger
        self._sampler = sampler
        self._space = space
        ledger.complete_draws(sampler, space)
        for trial in ledger.unfinished():
            if failure := ledger.failure(trial.number):  # the driver was killed before it reported to Optuna
                ledger.finish(trial.number, failure=failure)
        self._unfinished = ledger.unfinished()
        self._numbers: dict[str, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return an empty state: Tune's pickled snapshots are never read, because the ledger has everything."""
        return {}

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Return the configuration of the next trial, or Tune's signal that there are no more."""
        if self._unfinished:
            trial = self._unfinished.pop(0)
        elif len(self._ledger.trials) < self._ledger.config.trials:
            trial = self._ledger.start_trial(self._sampler, self._space)
        else:
            return Searcher.FINISHED  # type: ignore[return-value]
        self._numbers[trial_id] = trial.number
        return TrialConfig.of(self._ledger, trial).to_dict()

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Do nothing: the recorder gets all results, whereas Ray skips this call for a result that stops a trial."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Record in the ledger how a trial ended."""
        number = self._numbers.pop(trial_id)
        last = TrialResult.from_dict(result or {})
        self._ledger.finish(number, failure=WORKER_FAILED if error else last.failure, measured=last.objectives)

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the ledger is on disk."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: a new searcher is built from the ledger."""
