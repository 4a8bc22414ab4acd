"""The options of `raygenre tune`.

This module imports no large library, so that the command can show its help immediately.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from raygenre.data.choices import GroupingName
from raygenre.errors import RaygenreError
from raygenre.search.duration import parse_duration
from raygenre.search.space.choices import (
    MAX_FAILURES,
    ConfigError,
    ModelName,
    PresetName,
    SamplerName,
    SchedulerName,
    SplitName,
)
from raygenre.training.choices import AugmentationName


class OptionError(RaygenreError, ValueError):
    """Some options are mutually exclusive or do not fit the data; the message names them."""


@dataclass(frozen=True)
class Options:
    """The options as the user set them. A value of 0 selects a default that depends on the data.

    Attributes:
        time_budget: duration such as `2h`; empty for none.
        from_studies, from_best: earlier studies whose best settings are tried first, and the number of settings per
            study.
        max_failures: the search ends after this many trials in a row have failed for the same reason; 0 for no limit.
        given: names of the options set on the command line. `--preset auto`, the default, never counts as set.
    """

    data: Path | None = None
    study: str = ""
    trials: int = 0
    epochs: int = 0
    seed: int = 0
    split: SplitName = "random"
    split_lists: Path | None = None
    folds: int = 1
    validation: float = 0.2
    duplicates: Path | None = None
    keep_duplicates: bool = False
    group_by: GroupingName = "auto"
    artists: Path | None = None
    merge_case: bool = False
    sampler: Literal["auto", SamplerName] = "auto"
    scheduler: SchedulerName = "asha"
    model: ModelName = "auto"
    preset: Literal["auto", PresetName] = "auto"
    space: Path | None = None
    search_width: bool = False
    start: tuple[str, ...] = ()
    from_studies: tuple[str, ...] = ()
    from_best: int = 5
    objectives: str = "loss"
    config: Path | None = None
    batch_size: int = 0
    augmentation: AugmentationName = "none"
    cpus_per_trial: float | None = None
    gpus_per_trial: float | None = None
    max_concurrent: int = 0
    time_budget: str = ""
    patience: int = 0
    max_failures: int = MAX_FAILURES
    address: str | None = None
    storage: str | None = None
    study_url: str | None = None
    tracking_uri: str | None = None
    resume: bool = False
    top_k: int = 0
    promote: bool | None = None
    verbose: bool = False
    given: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.preset == "auto":
            object.__setattr__(self, "given", self.given - {"preset"})


def check_numbers(options: Options) -> None:
    """Check for numbers that are invalid regardless of the data, the space and the study.

    Raises:
        ConfigError: a number is out of range.
    """
    parse_duration(options.time_budget or "0", "--time-budget")
    for name in ("trials", "epochs", "folds", "batch_size", "top_k", "from_best"):
        if (number := getattr(options, name)) < 1 and name in options.given:
            raise ConfigError(f"{name} must be at least 1, not {number}")
    if options.seed < 0:
        raise ConfigError(f"seed must be at least 0, not {options.seed}")
    if not 0 < options.validation < 1:
        raise ConfigError(f"validation must be between 0 and 1, not {options.validation}")
    if options.top_k > options.trials > 0:
        raise ConfigError(f"top_k is {options.top_k}, but there are only {options.trials} trials")
