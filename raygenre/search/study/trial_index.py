"""The trials of a study: those of the search, those of other programs, and the best ones.

A study may have thousands of trials, and a driver reads them several times per trial. An ended trial never changes, so
all trials up to the first one that may still change are read only once.
"""

import bisect
from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState

from raygenre.search.study.ranking import is_complete
from raygenre.search.study.trial_attributes import is_own, losses


class TrialIndex:
    """An index of one study's trials, which every method brings up to date with the trials that it is given.

    The trials must be all trials of the study, in order.

    Args:
        epochs: number of epochs of a complete trial.
    """

    def __init__(self, *, epochs: int) -> None:
        self._epochs = epochs
        self._settled = 0  # number of trials at the start of the study that will not change
        self._own: list[FrozenTrial] = []  # those of them that the search has started
        self._others: list[int] = []  # positions of the other ones
        self._ranked: list[tuple[float, int, FrozenTrial]] = []  # lowest loss, number and trial of the complete ones

    def own(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Return the trials that the search has started."""
        return self._own + self._unsettled_own(trials)

    def others(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Return the trials that the search has not started, or not yet."""
        changing = [trial for trial in self._update(trials) if not is_own(trial)]
        return [trials[position] for position in self._others] + changing

    def best(self, trials: Sequence[FrozenTrial], k: int) -> list[FrozenTrial]:
        """Return the k complete trials with the lowest losses, best first; if two are equal, the earlier comes first."""
        changing = [_ranked(trial) for trial in self._unsettled_own(trials) if is_complete(trial, epochs=self._epochs)]
        return [trial for _, _, trial in sorted([*self._ranked[:k], *changing])[:k]]

    def _unsettled_own(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        return [trial for trial in self._update(trials) if is_own(trial)]

    def _update(self, trials: Sequence[FrozenTrial]) -> Sequence[FrozenTrial]:
        """Add the trials that do not change any more to the index, and return the others."""
        for position in range(self._settled, len(trials)):
            trial = trials[position]
            own = is_own(trial)
            # A running trial of another program may end, but never becomes one of the search.
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
