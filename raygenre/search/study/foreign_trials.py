"""Handles trials that other programs add to a study, for example with `study.ask`.

The search trains only trials that it has started itself, including those that users enqueued. All other trials are
left unchanged: they are not trained, do not count as trials of the search and cannot win. Optuna's samplers learn from
them once they are complete.
"""

from collections.abc import Mapping

from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from raygenre.search.space.start_points import outside_space
from raygenre.search.study.ledger import Ledger
from raygenre.search.study.trial_attributes import FAILURE

_FIXED = "fixed_params"  # the system attribute in which Optuna stores the values of an enqueued trial


def foreign_trials(ledger: Ledger) -> list[FrozenTrial]:
    """Return the trials that other programs have started, except those that this search has rejected."""
    return [trial for trial in ledger.others if trial.state != TrialState.WAITING and FAILURE not in trial.user_attrs]


def refuse_enqueued(ledger: Ledger, space: Mapping[str, BaseDistribution]) -> list[str]:
    """Mark enqueued trials with values outside the space as failed, and return one line of explanation for each."""
    refusals = []
    storage = ledger.study._storage
    for trial in ledger.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        point = {**trial.system_attrs.get(_FIXED, {}), **trial.params}
        if mismatch := outside_space(point, space, fixed=ledger.config.fixed):
            reason = f"refused: {mismatch}"
            try:
                storage.set_trial_user_attr(trial._trial_id, FAILURE, reason)
                storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
            except UpdateFinishedTrialError:  # another program removed it from the queue in the meantime
                continue
            refusals.append(f"enqueued trial {trial.number} {reason}")
    return refusals
