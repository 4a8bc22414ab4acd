"""Start points: the settings that a search tries first, before its sampler chooses any."""

from collections.abc import Mapping

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from raygenre.search.space.choices import alternatives
from raygenre.search.space.space import KINDS, SpaceError, Value, parse_entry, unknown_name


def parse(text: str) -> dict[str, Value]:
    """Parse a start point from the command line, such as `dropout=0.3,learning_rate=1e-3`.

    Raises:
        SpaceError: the text does not have this format, a name is unknown, or a value is invalid.
    """
    point: dict[str, Value] = {}
    for part in text.split(","):
        name, equals, raw = (piece.strip() for piece in part.partition("="))
        if not equals or not raw:
            raise SpaceError(f"--start {text}: {part.strip()!r} is not NAME=VALUE, as in dropout=0.3,decay=0.01")
        if name in point:
            raise SpaceError(f"--start {text}: {name} is set twice")
        try:
            value = parse_entry(name, raw)
        except SpaceError as error:
            raise SpaceError(f"--start {text}: {error}") from error
        if not isinstance(value, (list, dict)):
            point[name] = value
    return point


def complete(
    point: Mapping[str, Value],
    space: Mapping[str, BaseDistribution],
    *,
    defaults: Mapping[str, Value],
    fixed: Mapping[str, Value],
) -> dict[str, Value]:
    """Complete a start point by taking missing values from `defaults`, so that it is a point of the space.

    Raises:
        SpaceError: a value is not in the space.
    """
    if mismatch := outside_space(point, space, fixed=fixed):
        raise SpaceError(f"start {mismatch}; change the start point or the space")
    return {**defaults, **{name: value for name, value in point.items() if name in space}}


def outside_space(
    point: Mapping[str, object], space: Mapping[str, BaseDistribution], *, fixed: Mapping[str, Value]
) -> str:
    """Return a description of the first value that is outside a space; empty if all values are inside."""
    for name, value in point.items():
        if name in space:
            if not _contains(space[name], value):
                return f"{name}={value} is outside the space, which allows {_describe(space[name])}"
        elif name not in KINDS:
            return f"{name}={value}: {unknown_name(name, space)}"
        elif fixed.get(name) != value:
            return f"{name}={value}: {name} is fixed at {fixed.get(name)} in this space"
    return ""


def _contains(distribution: BaseDistribution, value: object) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    if isinstance(distribution, (FloatDistribution, IntDistribution)) and isinstance(value, (int, float)):
        return bool(distribution._contains(value))
    return False


def _describe(distribution: BaseDistribution) -> str:
    if isinstance(distribution, CategoricalDistribution):
        return alternatives(distribution.choices)
    if isinstance(distribution, (FloatDistribution, IntDistribution)):
        step = f" in steps of {distribution.step:g}" if distribution.step not in (None, 1) else ""
        return f"{distribution.low:g} to {distribution.high:g}{step}"
    return str(distribution)
