"""Sorts the completed trials of a search by loss, and finds those on the Pareto front."""

from collections.abc import Iterable, Sequence

from optuna.study import StudyDirection
from optuna.study._multi_objective import _get_pareto_front_trials_by_trials
from optuna.trial import FrozenTrial, TrialState

from raygenre.search.study.trial_attributes import losses


def complete(trials: Iterable[FrozenTrial], *, epochs: int) -> list[FrozenTrial]:
    """Return the trials that completed all epochs."""
    return [trial for trial in trials if is_complete(trial, epochs=epochs)]


def is_complete(trial: FrozenTrial, *, epochs: int) -> bool:
    """Return whether a trial completed all epochs; a trial that another program ended may have completed fewer."""
    return trial.state == TrialState.COMPLETE and max(losses(trial), default=0) >= epochs


def by_loss(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return trials sorted by their lowest validation loss; if two are equally good, the earlier one comes first."""
    return sorted(trials, key=lambda trial: (min(losses(trial).values()), trial.number))


def pareto_front(trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> list[FrozenTrial]:
    """Return the trials on the Pareto front, sorted by the first objective, best first."""
    sign = -1 if directions[0] == StudyDirection.MAXIMIZE else 1
    front = _get_pareto_front_trials_by_trials(trials, directions)
    return sorted(front, key=lambda trial: (sign * trial.values[0], trial.number))
