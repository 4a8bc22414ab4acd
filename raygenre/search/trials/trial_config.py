"""The configuration for a trial's worker: setting, seed and location of the training state.

Ray Tune passes plain dicts between processes, so `to_dict` and `from_dict` convert configurations at that boundary
only.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np
from optuna.trial import FrozenTrial

from raygenre.search.space.space import Setting, Value
from raygenre.search.study.ledger import Ledger
from raygenre.system.location import Location


@dataclass(frozen=True)
class TrialConfig:
    """The configuration of one trial.

    Attributes:
        number: Optuna's trial number.
        params: values of the searched hyperparameters.
        fixed: values of the hyperparameters that are not searched.
        seed: seed of the training run.
        location: folder or URL of the training state.
        failure: why the trial must not be trained again; empty if it should be trained.
    """

    number: int
    params: dict[str, Value]
    fixed: dict[str, Value]
    seed: int
    location: str
    failure: str = ""

    @classmethod
    def of(cls, ledger: Ledger, trial: FrozenTrial) -> Self:
        """Return the configuration of a trial in the ledger."""
        return cls(
            number=trial.number,
            params=dict(trial.params),
            fixed=ledger.config.fixed,
            seed=trial_seed(ledger.config.seed, trial.number),
            location=str(ledger.checkpoint_location(trial.number)),
        )

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> Self:
        """Read a Ray Tune config; keys that Ray added are ignored."""
        return cls(**{field.name: config[field.name] for field in fields(cls)})

    def to_dict(self) -> dict[str, Any]:
        """Return the Ray Tune config: plain values only."""
        return asdict(self)

    @property
    def setting(self) -> Setting:
        """The complete setting, with searched and fixed values."""
        return Setting(**{**self.fixed, **self.params})  # type: ignore[arg-type]

    @property
    def state(self) -> Location:
        """The location of the training state."""
        return Location(self.location)


def trial_seed(seed: int, number: int) -> int:
    """Return a seed for a training run that differs from the seeds of all other training runs, folds and searches."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
