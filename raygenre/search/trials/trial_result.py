"""The results of training: `EpochResult` per epoch, `TrialResult` per report to Ray Tune.

Losses are means over folds, in nats; accuracies are between 0 and 1; times are in s. Ray Tune passes results on as flat
dicts, so `to_dict` and `from_dict` convert results at that boundary only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

import numpy as np

from raygenre.search.space.objectives import PREFIX
from raygenre.training.loop import EpochMetrics

OBJECTIVE = "best_validation_loss"
"""Name of the value that the search minimises: the lowest validation loss so far."""


@dataclass(frozen=True)
class EpochResult:
    """The result of one epoch of training, over all folds.

    Attributes:
        epoch: number of the epoch, counted from 1.
        best_validation_loss: the lowest `validation_loss` up to this epoch.
        validation_loss, validation_accuracy: mean over folds; NaN without validation tracks.
        train_loss, train_accuracy: mean over folds.
        learning_rate: learning rate in this epoch.
        seconds: duration, summed over folds.
        images_per_second: training throughput, mean over folds.
    """

    epoch: int
    best_validation_loss: float
    validation_loss: float
    validation_accuracy: float
    train_loss: float
    train_accuracy: float
    learning_rate: float
    seconds: float
    images_per_second: float

    @classmethod
    def of(cls, folds: Sequence[EpochMetrics], best: float) -> Self:
        """Combine the metrics of all folds for one epoch.

        Args:
            best: the lowest validation loss in the earlier epochs; infinity for the first epoch.
        """

        def mean(name: str) -> float:
            return float(np.mean([getattr(fold, name) for fold in folds]))

        return cls(
            epoch=folds[0].epoch,
            best_validation_loss=min(best, mean("validation_loss")),
            validation_loss=mean("validation_loss"),
            validation_accuracy=mean("validation_accuracy"),
            train_loss=mean("train_loss"),
            train_accuracy=mean("train_accuracy"),
            learning_rate=folds[0].learning_rate,
            seconds=sum(fold.seconds for fold in folds),
            images_per_second=mean("images_per_second"),
        )

    @property
    def metrics(self) -> dict[str, float]:
        """The values by name, without the epoch; the objective comes first."""
        return {name: getattr(self, name) for name in METRICS}

    @property
    def row(self) -> dict[str, float]:
        """The values by name, including `epoch`."""
        return self.metrics | {"epoch": self.epoch}


METRICS = tuple(field.name for field in fields(EpochResult) if field.name != "epoch")
"""The metrics of each epoch in MLflow. The objective is first, because MLflow's compare view shows the first one."""


@dataclass(frozen=True)
class TrialResult:
    """One report of a trial to Ray Tune: the result of an epoch, or the reason why there is none.

    Attributes:
        epoch: result of the epoch; None before the first report and if the trial failed.
        objectives: values of the objectives if there are several, by prefixed name; set only after the last epoch.
        environment: device, threads, versions and code of the worker; set only in its first report.
        failure: why the trial failed: training diverged, ran out of memory or raised another exception.
        halt: why the whole search must stop, for example because of a full disk.
        traceback: traceback of an unexpected exception.
    """

    epoch: EpochResult | None = None
    objectives: dict[str, float] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    failure: str = ""
    halt: str = ""
    traceback: str = ""

    @classmethod
    def from_dict(cls, result: Mapping[str, Any]) -> Self:
        """Read a Ray Tune result; keys that Ray added are ignored."""
        names = [field.name for field in fields(EpochResult)]
        return cls(
            epoch=EpochResult(**{name: result[name] for name in names}) if "epoch" in result else None,
            objectives={name: value for name, value in result.items() if name.startswith(PREFIX)},
            environment=result.get("environment", {}),
            failure=result.get("failure", ""),
            halt=result.get("halt", ""),
            traceback=result.get("traceback", ""),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a flat dict for Ray Tune, whose schedulers look for the epoch and the objective at the top level."""
        texts = {name: getattr(self, name) for name in ("environment", "failure", "halt", "traceback")}
        epoch = asdict(self.epoch) if self.epoch else {}
        return epoch | self.objectives | {name: value for name, value in texts.items() if value}
