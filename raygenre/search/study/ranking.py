"""Ranks the complete trials of a search: by their loss, or on the Pareto front."""

import heapq
from collections.abc import Iterable, Sequence

from optuna.study import StudyDirection
from optuna.study._multi_objective import _get_pareto_front_trials_by_trials
from optuna.trial import FrozenTrial, TrialState

from raygenre.search.study.trial_attributes import losses


def complete(trials: Iterable[FrozenTrial], *, epochs: int) -> list[FrozenTrial]:
    """Return the trials that trained all epochs; a trial that another program completed may have trained fewer."""
    return [trial for trial in trials if trial.state == TrialState.COMPLETE and max(losses(trial), default=0) >= epochs]


def by_loss(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return trials sorted by their lowest validation loss; if two are equally good, the earlier comes first."""
    return sorted(trials, key=lambda trial: (min(losses(trial).values()), trial.number))


def pareto_front(trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]) -> list[FrozenTrial]:
    """Return the trials on the Pareto front, sorted by the first objective, best first."""
    sign = -1 if directions[0] == StudyDirection.MAXIMIZE else 1
    front = _get_pareto_front_trials_by_trials(trials, directions)
    return sorted(front, key=lambda trial: (sign * trial.values[0], trial.number))


class Ranking:
    """The ranking of one search, which reads the losses of each trial only once because a complete trial never changes.

    Args:
        epochs: number of epochs of a complete trial.
        directions: of the objectives; several ones rank by the Pareto front.
    """

    def __init__(self, *, epochs: int, directions: Sequence[StudyDirection]) -> None:
        self._epochs = epochs
        self._directions = directions
        self._losses: dict[int, float] = {}  # of complete trials
        self._known: set[int] = set()  # trials that have been looked at, complete or ended by another program

    def top(self, trials: Sequence[FrozenTrial], k: int) -> list[FrozenTrial]:
        """Return the k best complete trials of a search, best first."""
        if len(self._directions) > 1:
            return self.front(trials)[:k]
        new = [trial for trial in trials if trial.state == TrialState.COMPLETE and trial.number not in self._known]
        self._known |= {trial.number for trial in new}
        self._losses |= {trial.number: min(losses(trial).values()) for trial in complete(new, epochs=self._epochs)}
        best = heapq.nsmallest(k, self._losses, key=lambda number: (self._losses[number], number))
        by_number = {trial.number: trial for trial in trials}
        return [by_number[number] for number in best]

    def front(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Return the trials on the Pareto front, sorted by the first objective, best first."""
        return pareto_front(complete(trials, epochs=self._epochs), self._directions)
