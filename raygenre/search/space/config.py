"""The configuration of a search: resolved once, stored in the study and reloaded on resume."""

import json
from dataclasses import asdict, dataclass, field
from typing import Self

from optuna.distributions import BaseDistribution

from raygenre.data.choices import GROUPINGS, GroupingName
from raygenre.inputs.kinds import InputName
from raygenre.search.space.choices import SCHEDULERS, SPLITS, ConfigError, SchedulerName, SplitName, alternatives
from raygenre.search.space.objectives import check_objectives
from raygenre.search.space.samplers import SamplerName, check_sampler
from raygenre.search.space.space import (
    Entry,
    Setting,
    SpaceError,
    Value,
    default_entries,
    fixed_values,
    nearest_point,
    parse_entry,
    to_distributions,
)
from raygenre.search.space.start_points import complete
from raygenre.training.choices import AUGMENTATIONS, AugmentationName


@dataclass(frozen=True)
class SearchConfig:
    """Everything about a search except where it runs and where its results are stored.

    Attributes:
        data: path of the data folder, or None for the synthetic tracks.
        data_digest: SHA-256 of the dataset; see `Dataset.digest`.
        split: `random` or `lists`.
        trials: number of trials.
        epochs: maximum number of epochs per trial.
        seed: seed for the split, the sampler and every training run.
        folds: number of cross-validation folds; 1 means a hold-out split.
        validation: share of the training tracks that a hold-out split uses for validation.
        top_k: number of best settings that are trained again on new seeds.
        sampler, scheduler: how settings are chosen, and how trials are stopped early, if at all.
        batch_size, augmentation: see `TrainingConfig`; used for every setting, unless the space includes them.
        space: entries that differ from the default space; see `raygenre.search.space.space`.
        starts: points to try first; if empty, the project's original setting is tried first.
        objectives: what the search optimises; see `raygenre.search.space.objectives`.
        split_lists, duplicates, keep_duplicates: how the split was made.
        group_by, artists: which tracks the split keeps together; see `raygenre.data.grouping`.
        merge_case: whether class folders whose names differ only in case are treated as one class.
        time_budget: time limit in s for the whole search, across all of its drivers; 0 for none. A trial does not start
            if it would leave too little time for the repeats and the final training.
        warm_start: the origin of each start point that comes from an earlier study, such as `autumn trial 3`.
        patience: number of trials without an improvement after which no more trials start; 0 for no limit.
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
    group_by: GroupingName = "none"
    artists: str | None = None
    merge_case: bool = False
    time_budget: float = 0
    patience: int = 0
    warm_start: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("trials", "epochs", "folds", "top_k", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.top_k > self.trials:
            raise ConfigError(f"top_k is {self.top_k}, but there are only {self.trials} trials")
        if self.seed < 0:
            raise ConfigError(f"seed must be at least 0, not {self.seed}")
        for name in ("time_budget", "patience"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} must be at least 0, not {getattr(self, name)}")
        if not 0 < self.validation < 1:
            raise ConfigError(f"validation must be between 0 and 1, not {self.validation}")
        for name, choices in (
            ("scheduler", SCHEDULERS),
            ("split", SPLITS),
            ("augmentation", AUGMENTATIONS),
            ("group_by", GROUPINGS),
        ):
            if getattr(self, name) not in choices:
                raise ConfigError(f"{name} must be {alternatives(choices)}, not {getattr(self, name)!r}")
        for name, entry in self.space.items():
            parse_entry(name, entry)
        if "network" in self.distributions:
            raise SpaceError("network cannot be searched; run a separate search for each network")
        if not self.distributions:
            raise SpaceError("the space has only fixed values; specify a range or choices for at least one of them")
        check_objectives(self.objectives, scheduler=self.scheduler)
        check_sampler(self.sampler, self.distributions, self.objectives)
        if len(self.starts) > self.trials:
            raise ConfigError(
                f"{len(self.starts)} start points need at least as many trials, but there are only {self.trials}"
            )
        for point in self.starts:
            complete(point, self.distributions, defaults={}, fixed=self.fixed)

    @property
    def entries(self) -> dict[str, Entry]:
        """The whole space: searched entries, and entries fixed at values that differ from the defaults of `Setting`."""
        own: dict[str, Entry] = {"batch_size": self.batch_size, "augmentation": self.augmentation}
        return default_entries(self.epochs) | own | self.space

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Distributions of the searched hyperparameters."""
        return to_distributions(self.entries)

    @property
    def fixed(self) -> dict[str, Value]:
        """Values of the hyperparameters that are not searched."""
        values = vars(Setting()) | fixed_values(self.entries)
        return {name: value for name, value in values.items() if name not in self.distributions}

    @property
    def input(self) -> InputName:
        """The kind of input that the networks receive."""
        return "features" if self.fixed["network"] == "head" else "levels"

    @property
    def first_points(self) -> list[dict[str, Value]]:
        """Points of the space that are tried before those that the sampler chooses."""
        space = self.distributions
        defaults = nearest_point(space, Setting(batch_size=self.batch_size, augmentation=self.augmentation))
        return [complete(point, space, defaults=defaults, fixed=self.fixed) for point in self.starts or [{}]]

    def setting(self, params: dict[str, Value]) -> Setting:
        """Return a trial's setting from its sampled values."""
        return Setting(**{**self.fixed, **params})  # type: ignore[arg-type]

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Resources:
    """CPUs and GPUs for training.

    Attributes:
        cpus, gpus: number per trial; if it is a fraction, several trials share a core or a GPU.
        max_concurrent: maximum number of concurrent trials; 0 means as many as fit.
        final_cpus: number of CPUs for the final training, which runs alone; 0 means as many as a trial uses.
    """

    cpus: float
    gpus: float
    max_concurrent: int = 0
    final_cpus: float = 0

    def __post_init__(self) -> None:
        if self.cpus <= 0:
            raise ConfigError(f"cpus per trial must be positive, not {self.cpus}")
        if self.gpus < 0:
            raise ConfigError(f"gpus per trial must be at least 0, not {self.gpus}")
        if self.max_concurrent < 0:
            raise ConfigError(f"max_concurrent must be at least 0, not {self.max_concurrent}")
