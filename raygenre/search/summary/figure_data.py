"""The data for a search's figures: trials by final state, with values and axis positions.

The position of a value in a logarithmic range is its base-10 logarithm; the position of a choice is its index.
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
    """The axis of one searched hyperparameter.

    Attributes:
        name: name of the hyperparameter.
        distribution: its distribution in the search space.
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
    def integer(self) -> bool:
        """Whether the hyperparameter's values are integers."""
        return isinstance(self.distribution, IntDistribution)

    @property
    def choices(self) -> tuple[str, ...]:
        """The choices; empty for a range."""
        choices = self.distribution.choices if isinstance(self.distribution, CategoricalDistribution) else ()
        return tuple(str(choice) for choice in choices)

    @property
    def bounds(self) -> tuple[float, float]:
        """The first and the last position on the axis."""
        if isinstance(self.distribution, FloatDistribution | IntDistribution):
            low, high = float(self.distribution.low), float(self.distribution.high)
            return (math.log10(low), math.log10(high)) if self.log else (low, high)
        return 0.0, float(len(self.choices) - 1)

    def positions(self, trials: list[FrozenTrial]) -> Floats:
        """Return the positions of trials on the axis."""
        values = [trial.params[self.name] for trial in trials]
        if self.choices:
            values = [self.choices.index(str(value)) for value in values]
        return np.asarray([math.log10(value) if self.log else float(value) for value in values])


@dataclass(frozen=True)
class Sample:
    """The trials that a figure compares.

    Attributes:
        trials: completed trials, followed by trials that were stopped early.
        values: the first objective of each completed trial, and the lowest loss of each trial that was stopped early.
        stopped: number of trials that were stopped early.
    """

    trials: list[FrozenTrial]
    values: Floats
    stopped: int

    @property
    def note(self) -> str:
        """The caption of a figure that includes stopped trials; empty if it includes none."""
        if not self.stopped:
            return ""
        complete = len(self.trials) - self.stopped
        return f"{complete} completed trials, and the lowest losses of {self.stopped} trials that were stopped early"


class SearchData:
    """The data for a search's figures.

    Attributes:
        trials: the trials that have a value for every axis.
        complete, stopped, failed: the trials in each final state.
        axes: an axis for each searched hyperparameter.
        minimised: whether lower values of the first objective are better.
        objective: label of the first objective.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.config = ledger.config
        self.axes = [Axis(name, distribution) for name, distribution in ledger.config.distributions.items()]
        self.trials = [trial for trial in ledger.trials if all(axis.name in trial.params for axis in self.axes)]
        self.complete = [trial for trial in self.trials if trial.state == TrialState.COMPLETE]
        self.stopped = [trial for trial in self.trials if trial.state == TrialState.PRUNED]
        self.failed = [trial for trial in self.trials if trial.state == TrialState.FAIL]
        self.minimised = ledger.study.directions[0] != StudyDirection.MAXIMIZE
        first = ledger.config.objectives[0]
        self.objective = f"validation {first}{UNITS[first]}"

    @property
    def values(self) -> Floats:
        """The first objective of the completed trials."""
        return np.asarray([trial.values[0] for trial in self.complete], dtype=np.float64)

    def sample(self, minimum: int) -> "Sample":
        """Return the completed trials and, if there are fewer than `minimum`, also the trials that were stopped early.

        With several objectives, no trial is stopped early.
        """
        if len(self.complete) >= minimum or is_multi_objective(self.config.objectives):
            return Sample(self.complete, self.values, 0)
        stopped = [trial for trial in self.stopped if losses(trial)]
        lowest = [min(losses(trial).values()) for trial in stopped]
        return Sample([*self.complete, *stopped], np.append(self.values, lowest), len(stopped))

    @property
    def started(self) -> float:
        """When the first trial started, in s since 1970."""
        return min(_seconds(trial) for trial in self.trials)

    def progress(self, trial: FrozenTrial) -> tuple[list[float], list[int]]:
        """Return the times of a trial's epochs, in minutes since the search started, and the epoch numbers.

        If the time of an epoch was not recorded, it is interpolated.
        """
        epochs = [0, *sorted(losses(trial))]
        recorded = {int(epoch): when for epoch, when in trial.user_attrs.get(EPOCH_TIMES, {}).items()}
        recorded[0] = min([_seconds(trial), *recorded.values()])
        if trial.datetime_complete:
            recorded.setdefault(epochs[-1], trial.datetime_complete.timestamp())
        noted = sorted(recorded)
        times = np.interp(epochs, noted, [recorded[epoch] for epoch in noted])
        return [max(time - self.started, 0) / 60 for time in times.tolist()], epochs


def _seconds(trial: FrozenTrial) -> float:
    return trial.datetime_start.timestamp() if trial.datetime_start else 0.0
