"""The finalists of a search, and the results of their repeats on new seeds.

The best result of many trials is partly luck, so the winner is not chosen by its result in the search. Each of the k
best settings is trained on `REPEATS` new seeds (see `raygenre.search.trials.repeats`). The setting with the lowest mean
loss wins. The final training has no validation tracks left, so its number of epochs is the mean of the winner's repeats
(see `raygenre.search.trials.final_training`). A repeat's epoch is its last one if a schedule lowers the learning rate
to 0 (see `TrainingConfig.uses_last_epoch`), and otherwise the one with the lowest validation loss.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raygenre.search.space.space import Setting
from raygenre.search.trials.trial_result import EpochResult
from raygenre.training.config import TrainingConfig

REPEATS = 2  # per setting


@dataclass(frozen=True)
class Repeat:
    """A training run of a finalist's setting on a new seed.

    Attributes:
        number: number of the finalist's trial.
        index: index of the repeat, from 0 to `REPEATS` - 1.
        loss: lowest validation loss of all epochs.
        epoch: the epoch whose network would be used; see above.
        accuracy: validation accuracy after this epoch.
        failure: why the repeat failed; empty if it succeeded.
    """

    number: int
    index: int
    loss: float = math.inf
    accuracy: float = 0.0
    epoch: int = 1
    failure: str = ""


@dataclass(frozen=True)
class Finalist:
    """One of the best settings, with its repeats.

    Attributes:
        number: number of the setting's trial.
        setting: values of all hyperparameters.
        search_loss: value of the objective in the search.
        losses: value of the objective in each repeat.
        epochs: the epoch of each repeat whose network would be used.
        accuracies: validation accuracy of each repeat after this epoch.
    """

    number: int
    setting: Setting
    search_loss: float
    losses: tuple[float, ...]
    accuracies: tuple[float, ...]
    epochs: tuple[int, ...]

    @property
    def loss(self) -> float:
        """Mean objective of the repeats."""
        return float(np.mean(self.losses))

    @property
    def accuracy(self) -> float:
        """Mean validation accuracy of the repeats."""
        return float(np.mean(self.accuracies))

    @property
    def spread(self) -> float:
        """Standard deviation of the objective over the repeats that did not fail."""
        finite = [loss for loss in self.losses if math.isfinite(loss)]
        return float(np.std(finite, ddof=1)) if len(finite) > 1 else 0.0

    @property
    def optimism(self) -> float:
        """How much worse the setting performs on new seeds than it did in the search."""
        return self.loss - self.search_loss


def chosen_epoch(epochs: Sequence[EpochResult], training: TrainingConfig) -> EpochResult:
    """Return the epoch of a repeat whose network would be used."""
    return epochs[-1] if training.uses_last_epoch else min(epochs, key=lambda epoch: epoch.validation_loss)
