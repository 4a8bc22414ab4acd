"""The names that a search's options may take. Imports no library, so commands can show their help at once."""

from collections.abc import Iterable
from typing import Literal, get_args

SamplerName = Literal["tpe", "gp", "random", "cmaes"]
SchedulerName = Literal["asha", "median", "none"]
SplitName = Literal["random", "lists"]
ObjectiveName = Literal["loss", "accuracy", "parameters", "latency"]

SAMPLERS: tuple[SamplerName, ...] = get_args(SamplerName)
SCHEDULERS: tuple[SchedulerName, ...] = get_args(SchedulerName)
SPLITS: tuple[SplitName, ...] = get_args(SplitName)
OBJECTIVES: tuple[ObjectiveName, ...] = get_args(ObjectiveName)


def alternatives(names: Iterable[object]) -> str:
    """Return names for a sentence, such as `tpe, gp or random`."""
    *others, last = map(str, names)
    return f"{', '.join(others)} or {last}" if others else last
