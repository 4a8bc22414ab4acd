"""The valid names for a search's options, and the error for invalid options.

This module imports no large library.
"""

from collections.abc import Iterable
from typing import Literal, get_args

from raygenre.errors import RaygenreError

SamplerName = Literal["tpe", "gp", "random", "cmaes"]
SchedulerName = Literal["asha", "median", "none"]
SplitName = Literal["random", "lists"]
PresetName = Literal["original", "improved"]
ModelName = Literal["auto", "cnn", "pretrained"]
NetworkName = Literal["cnn", "head"]
ObjectiveName = Literal["loss", "accuracy", "parameters", "latency"]

SAMPLERS: tuple[SamplerName, ...] = get_args(SamplerName)
SCHEDULERS: tuple[SchedulerName, ...] = get_args(SchedulerName)
SPLITS: tuple[SplitName, ...] = get_args(SplitName)
NETWORKS: tuple[NetworkName, ...] = get_args(NetworkName)
OBJECTIVES: tuple[ObjectiveName, ...] = get_args(ObjectiveName)
MAX_FAILURES = 5
"""By default, a search ends after this many trials in a row have failed for the same reason."""


CONFIG_FILE = "run.yaml"
"""Name of the file in the study's folder that contains the search's configuration."""


class ConfigError(RaygenreError, ValueError):
    """An option of a search is invalid or conflicts with other options."""


def alternatives(names: Iterable[object]) -> str:
    """Join names for use in a sentence, such as `tpe, gp or random`."""
    *others, last = map(str, names)
    return f"{', '.join(others)} or {last}" if others else last
