"""The columns in which trials are displayed, chosen to fit the available width."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from raygenre.search.space.space import short

_SHORT = {
    "learning_rate": "lr",
    "batch_size": "batch",
    "augmentation": "augment",
    "normalisation": "norm",
    "frequency_bins": "bins",
}
_FLOAT_WIDTH = 8  # characters in a float that `short` has formatted, such as 0.000123
_MORE = "…"  # column that stands for the values that do not fit


@dataclass(frozen=True)
class Column:
    """A column of a table of trials.

    Attributes:
        name: header of the column.
        cells: number of characters in the longest cell.
        value: name of the hyperparameter that the column shows; empty if it shows something else.
    """

    name: str
    cells: int
    value: str = ""

    @property
    def width(self) -> int:
        """The length of the header or, if longer, of the longest cell, in characters."""
        return max(self.cells, len(self.name))


def value_columns(distributions: Mapping[str, BaseDistribution], *, short_names: bool) -> list[Column]:
    """Return a column for each searched hyperparameter."""
    columns = []
    for name, distribution in distributions.items():
        header = _SHORT.get(name, name) if short_names else name
        columns.append(Column(header.replace("_", " "), _value_width(distribution), name))
    return columns


def fitting(
    fixed: Sequence[Column], distributions: Mapping[str, BaseDistribution], *, width: int, gap: int
) -> list[Column] | None:
    """Return all columns, with short names for the hyperparameters if necessary; None if they do not fit.

    Args:
        width: number of available characters.
        gap: number of characters between two columns.
    """
    for short_names in (False, True):
        columns = [*fixed, *value_columns(distributions, short_names=short_names)]
        if _total(columns, gap) <= width:
            return columns
    return None


def cut(
    fixed: Sequence[Column], distributions: Mapping[str, BaseDistribution], *, width: int, gap: int
) -> list[Column]:
    """Return the fixed columns and as many hyperparameters as fit; the last column stands for the rest."""
    values = value_columns(distributions, short_names=True)
    while values and _total([*fixed, *values, Column(_MORE, 1)], gap) > width:
        values.pop()
    return [*fixed, *values, Column(_MORE, 1)]


def named(columns: Sequence[Column], cells: Sequence[str], *, width: int) -> list[str]:
    """Return lines with the names of columns and their cells, padded so that the lines of all trials align."""
    lines = [""]
    for column, cell in zip(columns, cells, strict=True):
        item = f"{column.name} {cell:<{column.cells}}"
        if lines[-1] and len(f"{lines[-1]}  {item}") > width:
            lines.append("")
        lines[-1] += f"  {item}" if lines[-1] else item
    return [line.rstrip() for line in lines]


def _total(columns: Sequence[Column], gap: int) -> int:
    return sum(column.width for column in columns) + gap * (len(columns) - 1)


def _value_width(distribution: BaseDistribution) -> int:
    if isinstance(distribution, CategoricalDistribution):
        return max(len(short(choice)) for choice in distribution.choices if isinstance(choice, int | float | str))
    if isinstance(distribution, IntDistribution):
        return max(len(str(distribution.low)), len(str(distribution.high)))
    assert isinstance(distribution, FloatDistribution)
    return _FLOAT_WIDTH
