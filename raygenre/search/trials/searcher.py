"""The Ray Tune searcher: gets settings from Optuna and reports trials' true final states.

If the scheduler stops a trial, Ray's own OptunaSearch reports it as COMPLETE with its latest value, so samplers compare
losses from different epochs. Here, such a trial ends as PRUNED; see `Ledger.finish`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import Trial
from ray.tune.search import Searcher

from raygenre.search.study.foreign_trials import refuse_enqueued
from raygenre.search.study.ledger import Ledger
from raygenre.search.trials.trial_config import TrialConfig
from raygenre.search.trials.trial_limits import TrialLimits
from raygenre.search.trials.trial_result import OBJECTIVE, TrialResult


class LedgerSearcher(Searcher):
    """Suggests trials that earlier drivers left unfinished, then new trials as long as the limits allow them.

    Args:
        limits: decides whether new trials start.
        may_start: returns whether a place is free for a trial now.
        is_stopping: returns whether the search has to stop, in which case no further trial gets a place.
        on_refusal: called with a line of text for each enqueued trial that has a value outside the space.
    """

    def __init__(
        self,
        ledger: Ledger,
        sampler: BaseSampler,
        space: Mapping[str, BaseDistribution],
        *,
        limits: TrialLimits,
        may_start: Callable[[], bool],
        is_stopping: Callable[[], bool],
        on_refusal: Callable[[str], None],
    ) -> None:
        super().__init__(metric=OBJECTIVE, mode="min")
        self._ledger = ledger
        self._sampler = sampler
        self._space = space
        self._limits = limits
        self._may_start = may_start
        self._is_stopping = is_stopping
        self._on_refusal = on_refusal
        self._complete_draws()
        for trial in ledger.unfinished():
            if failure := ledger.failure(trial.number):  # a driver was killed before it ended this trial
                ledger.finish(trial.number, failure=failure)
        self._unfinished = ledger.unfinished()
        self._started = len(ledger.trials)
        self._numbers: dict[str, int] = {}  # trial numbers by Tune's trial id, for trials that have not ended

    def __getstate__(self) -> dict[str, Any]:
        """Return an empty state: the ledger contains everything, so Tune's pickled snapshots are never read."""
        return {}

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Return the configuration of the next trial, or Tune's signal that there are no more trials."""
        while self._unfinished and self._ledger.state(self._unfinished[0].number).is_finished():
            self._unfinished.pop(0)  # another program has ended the trial
        ended = self._started - len(self._unfinished) - len(self._numbers)
        is_over = not self._unfinished and not self._limits.allow_another(self._started, ended)
        if is_over or not self._may_start():
            # While trials are running, their results or a user's request may still allow more trials.
            over = not self._numbers and (is_over or self._is_stopping())
            return Searcher.FINISHED if over else None  # type: ignore[return-value]
        if self._unfinished:
            trial = self._unfinished.pop(0)
        else:
            for refusal in refuse_enqueued(self._ledger, self._space):
                self._on_refusal(refusal)
            trial = self._ledger.start_trial(self._sampler, self._space)
            self._started += 1
        self._numbers[trial_id] = trial.number
        return TrialConfig.of(self._ledger, trial).to_dict()

    @property
    def waiting(self) -> int:
        """Number of trials that could start if there were places for them."""
        return len(self._unfinished) + self._limits.left(self._started)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Do nothing: the recorder receives all results, but Ray skips this call for a result that stops a trial."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Record in the ledger how a trial ended, except for errors, whose causes only callbacks receive."""
        number = self._numbers.pop(trial_id)
        if not error:
            last = TrialResult.from_dict(result or {})
            self._ledger.finish(number, failure=last.failure, measured=last.objectives)

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the ledger already contains everything."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: a new searcher is built from the ledger."""

    def _complete_draws(self) -> None:
        """Sample the missing values of trials whose driver died during `Ledger.start_trial`."""
        self._ledger.study.sampler = self._sampler
        for frozen in self._ledger.unfinished():
            self._ledger.note_checkpoint(frozen.number)
            if frozen.params.keys() != self._space.keys():
                trial = Trial(self._ledger.study, frozen._trial_id)
                for name, distribution in self._space.items():
                    trial._suggest(name, distribution)  # `Study.ask` makes the same call for each parameter
