"""Indexes the trials of a study: those of the search, those of other programs and the best.

A study may have thousands of trials, and a driver needs all of them several times for every trial that it runs. An
ended trial never changes, so all trials up to the first one that may still change are read only once.
"""

import bisect
import threading
from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState

from raygenre.search.study.ranking import is_complete
from raygenre.search.study.trial_attributes import is_own, losses


class TrialIndex:
    """An index of one study's trials; every method first updates it with the trials that it receives.

    Always pass all trials of the study, in order. The main thread of a driver and its display may both use the index.

    Args:
        epochs: number of epochs of a completed trial.
    """

    def __init__(self, *, epochs: int) -> None:
        self._epochs = epochs
        self._lock = threading.Lock()
        self._settled = 0  # number of trials at the start of the study that will not change again
        self._own: list[FrozenTrial] = []  # those of them that the search has started
        self._others: list[int] = []  # positions of the other trials
        self._ranked: list[tuple[float, int, FrozenTrial]] = []  # lowest loss, number and trial, if completed

    def own(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Return the trials that the search has started."""
        with self._lock:
            changing = self._update(trials)
            return self._own + [trial for trial in changing if is_own(trial)]

    def others(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Return the trials that the search did not start or has not started yet."""
        with self._lock:
            changing = self._update(trials)
            return [trials[position] for position in self._others] + [trial for trial in changing if not is_own(trial)]

    def best(self, trials: Sequence[FrozenTrial], k: int) -> list[FrozenTrial]:
        """Return the k completed trials with the lowest losses, sorted by loss and, if equal, by number."""
        return [trial for _, _, trial in self._best(trials, k)]

    def lowest_loss(self, trials: Sequence[FrozenTrial]) -> float | None:
        """Return the lowest loss among all completed trials; None if there are none."""
        best = self._best(trials, 1)
        return best[0][0] if best else None

    def _best(self, trials: Sequence[FrozenTrial], k: int) -> list[tuple[float, int, FrozenTrial]]:
        with self._lock:
            changing = [trial for trial in self._update(trials) if is_own(trial)]
            ranked = self._ranked[:k]
        return sorted([*ranked, *(_ranked(trial) for trial in changing if is_complete(trial, epochs=self._epochs))])[:k]

    def _update(self, trials: Sequence[FrozenTrial]) -> Sequence[FrozenTrial]:
        """Add the trials that will not change again to the index, and return the others."""
        for position in range(self._settled, len(trials)):
            trial = trials[position]
            own = is_own(trial)
            # A running trial of another program may end, but never becomes one of the search's trials.
            if not trial.state.is_finished() and (own or trial.state == TrialState.WAITING):
                break
            self._settled += 1
            if not own:
                self._others.append(position)
                continue
            self._own.append(trial)
            if is_complete(trial, epochs=self._epochs):
                bisect.insort(self._ranked, _ranked(trial))
        return trials[self._settled :]


def _ranked(trial: FrozenTrial) -> tuple[float, int, FrozenTrial]:
    return min(losses(trial).values()), trial.number, trial
