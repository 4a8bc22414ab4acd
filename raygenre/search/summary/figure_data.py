"""A search as its figures see it: which trials ended how, what each was worth, and where its settings lie on an axis.

A value that the search draws on a logarithmic scale lies on its logarithm to base 10, a choice on its number.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from raygenre.search.space.objectives import UNITS, is_multi_objective
from raygenre.search.study.ledger import EPOCH_TIMES, Ledger, losses

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Axis:
    """One searched value.

    Attributes:
        name: of the value.
        distribution: that it is drawn from.
    """

    name: str
    distribution: BaseDistribution

    @property
    def label(self) -> str:
        return self.name.replace("_", " ")

    @property
    def log(self) -> bool:
        numbers = isinstance(self.distribution, FloatDistribution | IntDistribution)
        return numbers and bool(getattr(self.distribution, "log", False))

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        return isinstance(self.distribution, IntDistribution)

    @property
    def choices(self) -> tuple[str, ...]:
        """What there is to choose from; nothing for a range."""
        found = self.distribution.choices if isinstance(self.distribution, CategoricalDistribution) else ()
        return tuple(str(choice) for choice in found)

    @property
    def bounds(self) -> tuple[float, float]:
        """The first and the last place on the axis."""
        if isinstance(self.distribution, FloatDistribution | IntDistribution):
            low, high = float(self.distribution.low), float(self.distribution.high)
            return (math.log10(low), math.log10(high)) if self.log else (low, high)
        return 0.0, float(len(self.choices) - 1)

    def places(self, trials: list[FrozenTrial]) -> Floats:
        """Where trials lie on the axis."""
        values = [trial.params[self.name] for trial in trials]
        if self.choices:
            values = [self.choices.index(str(value)) for value in values]
        return np.asarray([math.log10(value) if self.log else float(value) for value in values])


@dataclass(frozen=True)
class Sample:
    """Trials whose differences a figure shows.

    Attributes:
        trials: complete ones, and behind them those that were stopped early.
        values: what each was worth by the first objective; a stopped one its lowest loss until then.
        stopped: how many were stopped early.
    """

    trials: list[FrozenTrial]
    values: Floats
    stopped: int

    @property
    def note(self) -> str:
        """What is to be said of a figure with trials that were stopped; empty if there are none."""
        if not self.stopped:
            return ""
        whole = len(self.trials) - self.stopped
        return (
            f"{whole} complete trials and {self.stopped} stopped early, each of these with its lowest loss until then"
        )


class SearchData:
    """What there is to draw of a search.

    Attributes:
        trials: those that were begun and have all their settings.
        complete, stopped, failed: those that ended so.
        axes: the searched values.
        minimised: whether less of the first objective is better.
        worth: name of the first objective, for people.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.config = ledger.config
        self.axes = [Axis(name, distribution) for name, distribution in ledger.config.distributions.items()]
        drawn = [trial for trial in ledger.trials if all(axis.name in trial.params for axis in self.axes)]
        self.trials = drawn
        self.complete = [trial for trial in drawn if trial.state == TrialState.COMPLETE]
        self.stopped = [trial for trial in drawn if trial.state == TrialState.PRUNED]
        self.failed = [trial for trial in drawn if trial.state == TrialState.FAIL]
        self.minimised = ledger.study.directions[0] != StudyDirection.MAXIMIZE
        objective = ledger.config.objectives[0]
        self.worth = f"validation {objective}{UNITS[objective]}"

    @property
    def values(self) -> Floats:
        """What the complete trials are worth by the first objective."""
        return np.asarray([trial.values[0] for trial in self.complete], dtype=np.float64)

    def sample(self, fewest: int) -> "Sample":
        """What trials were worth: the complete ones, and where these are fewer than wanted those that were stopped too.

        With several objectives no trial is stopped, and there is nothing to add.
        """
        if len(self.complete) >= fewest or is_multi_objective(self.config.objectives):
            return Sample(self.complete, self.values, 0)
        stopped = [trial for trial in self.stopped if losses(trial)]
        lowest = [min(losses(trial).values()) for trial in stopped]
        return Sample([*self.complete, *stopped], np.append(self.values, lowest), len(stopped))

    @property
    def began(self) -> float:
        """When the first trial began, s since 1970."""
        return min(_seconds(trial) for trial in self.trials)

    def progress(self, trial: FrozenTrial) -> tuple[list[float], list[int]]:
        """Minutes since the search began, and the epochs that a trial had by then.

        Epochs whose time is not known lie evenly between the two around them that are.
        """
        epochs = [0, *sorted(losses(trial))]
        known = {int(epoch): when for epoch, when in trial.user_attrs.get(EPOCH_TIMES, {}).items()}
        known[0] = min([_seconds(trial), *known.values()])
        if trial.datetime_complete:
            known.setdefault(epochs[-1], trial.datetime_complete.timestamp())
        places = sorted(known)
        times = np.interp(epochs, places, [known[place] for place in places])
        return [max(time - self.began, 0) / 60 for time in times.tolist()], epochs


def _seconds(trial: FrozenTrial) -> float:
    return trial.datetime_start.timestamp() if trial.datetime_start else 0.0
