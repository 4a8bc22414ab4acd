"""What a search was asked to do; resolved once, written into the study, and read from there on resume."""

import json
from dataclasses import asdict, dataclass, field
from typing import Self

from optuna.distributions import BaseDistribution

from raygenre.search.space.choices import SCHEDULERS, SPLITS
from raygenre.search.space.choices import SchedulerName as SchedulerName
from raygenre.search.space.choices import SplitName as SplitName
from raygenre.search.space.objectives import check_objectives
from raygenre.search.space.samplers import SamplerName, check_sampler
from raygenre.search.space.space import (
    Entry,
    Setting,
    Value,
    default_entries,
    fixed_values,
    nearest_point,
    parse_entry,
    to_distributions,
)
from raygenre.search.space.start_points import complete
from raygenre.training.choices import AugmentationName as AugmentationName
from raygenre.training.choices import PrecisionName as PrecisionName


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
        batch_size, augmentation: see `TrainingConfig`; of every setting, unless the space has them.
        space: what is searched otherwise than by default, see `raygenre.search.space`.
        starts: points to try first; without any, the setting that the project began with.
        objectives: what is sought, see `raygenre.search.space.objectives`.
        split_lists, duplicates, keep_duplicates: where the split was drawn from.
    """

    data: str | None
    data_digest: str
    split: SplitName
    trials: int
    epochs: int
    seed: int
    folds: int
    validation: float
    top_k: int
    sampler: SamplerName
    scheduler: SchedulerName
    batch_size: int
    augmentation: AugmentationName
    space: dict[str, Entry] = field(default_factory=dict)
    starts: list[dict[str, Value]] = field(default_factory=list)
    objectives: list[str] = field(default_factory=lambda: ["loss"])
    split_lists: str | None = None
    duplicates: str | None = None
    keep_duplicates: bool = False

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
        for name, known in (("scheduler", SCHEDULERS), ("split", SPLITS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, not {getattr(self, name)!r}")
        for name, entry in self.space.items():
            parse_entry(name, entry)
        if not self.distributions:
            raise ValueError("the space has fixed values alone; search at least one of them")
        check_objectives(self.objectives, scheduler=self.scheduler)
        check_sampler(self.sampler, self.distributions, self.objectives)
        if len(self.starts) > self.trials:
            raise ValueError(f"{len(self.starts)} start points do not fit into {self.trials} trials")
        for point in self.starts:
            complete(point, self.distributions, usual={}, fixed=self.fixed)

    @property
    def entries(self) -> dict[str, Entry]:
        """The whole space: an entry for whatever is searched or fixed otherwise than in `Setting`'s defaults."""
        usual: dict[str, Entry] = {"batch_size": self.batch_size, "augmentation": self.augmentation}
        return default_entries(self.epochs) | usual | self.space

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """What is searched."""
        return to_distributions(self.entries)

    @property
    def fixed(self) -> dict[str, Value]:
        """The values of a setting that are not searched."""
        everything = vars(Setting()) | fixed_values(self.entries)
        return {name: value for name, value in everything.items() if name not in self.distributions}

    @property
    def first_points(self) -> list[dict[str, Value]]:
        """The points of the space that are tried before the sampler chooses any."""
        space = self.distributions
        usual = nearest_point(space, Setting(batch_size=self.batch_size, augmentation=self.augmentation))
        return [complete(point, space, usual=usual, fixed=self.fixed) for point in self.starts or [{}]]

    def setting(self, params: dict[str, Value]) -> Setting:
        """Return the whole setting of a trial whose searched values these are."""
        return Setting(**{**self.fixed, **params})  # type: ignore[arg-type]

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
        final_cpus: of the final training, which runs alone; 0 for as many as a trial has.
    """

    cpus: float
    gpus: float
    max_concurrent: int = 0
    final_cpus: float = 0

    def __post_init__(self) -> None:
        if self.cpus <= 0:
            raise ValueError(f"cpus per trial must be positive, not {self.cpus}")
        if self.gpus < 0:
            raise ValueError(f"gpus per trial must not be negative, but is {self.gpus}")
        if self.max_concurrent < 0:
            raise ValueError(f"max_concurrent must not be negative, but is {self.max_concurrent}")
