"""What a search was asked to do; resolved once, written into the study, and read from there on resume."""

import json
from dataclasses import asdict, dataclass
from typing import Literal, Self

from raygenre.search.space import SamplerName


@dataclass(frozen=True)
class SearchConfig:
    """A search, but for where it runs and what it is kept in.

    Attributes:
        data: path of the data folder, or None for the synthetic tracks.
        data_digest: SHA-256 of the data set, see `Dataset.digest`.
        split: `random` or `lists`.
        trials: settings to try.
        epochs: at most, a trial.
        seed: of the split, the sampler and every training.
        folds: 1 for a hold-out.
        validation: share of the training part that a hold-out takes.
        top_k: settings that are trained again on new seeds.
        sampler, scheduler: how settings are chosen, and whether trials are stopped early.
        batch_size, augmentation: see `TrainingConfig`.
    """

    data: str | None
    data_digest: str
    split: Literal["random", "lists"]
    trials: int
    epochs: int
    seed: int
    folds: int
    validation: float
    top_k: int
    sampler: SamplerName
    scheduler: Literal["asha", "none"]
    batch_size: int
    augmentation: Literal["none", "erasing"]

    def __post_init__(self) -> None:
        for name in ("trials", "epochs", "folds", "top_k", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.top_k > self.trials:
            raise ValueError(f"top_k is {self.top_k}, but there are only {self.trials} trials")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, but is {self.seed}")
        if not 0 < self.validation < 1:
            raise ValueError(f"validation must be between 0 and 1, not {self.validation}")
        for name, known in (("scheduler", ("asha", "none")), ("split", ("random", "lists"))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, not {getattr(self, name)!r}")

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Resources:
    """What each training may use.

    Attributes:
        cpus, gpus: per trial; fractions share a core or a card.
        max_concurrent: trials at once; 0 for as many as fit.
    """

    cpus: float
    gpus: float
    max_concurrent: int = 0

    def __post_init__(self) -> None:
        if self.cpus <= 0:
            raise ValueError(f"cpus per trial must be positive, not {self.cpus}")
        if self.gpus < 0:
            raise ValueError(f"gpus per trial must not be negative, but is {self.gpus}")
        if self.max_concurrent < 0:
            raise ValueError(f"max_concurrent must not be negative, but is {self.max_concurrent}")
