"""Turns the best settings of earlier studies into start points of a new search."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from optuna.distributions import BaseDistribution

from raygenre.search.options import OptionError
from raygenre.search.space.choices import NetworkName
from raygenre.search.space.space import Value
from raygenre.search.space.start_points import outside_space
from raygenre.search.study.earlier_studies import EarlierSetting


@dataclass(frozen=True)
class WarmStart:
    """Start points from earlier studies.

    Attributes:
        points: the start points, each with the values that are in the space.
        sources: where each point comes from, such as `autumn trial 3`.
        note: a note for the user that lists the settings used.
    """

    points: list[dict[str, Value]]
    sources: list[str]
    note: str


def warm_start(
    earlier: Sequence[EarlierSetting], space: Mapping[str, BaseDistribution], *, network: NetworkName, most: int
) -> WarmStart:
    """Return start points from the settings of earlier studies; values outside the space are left out.

    Args:
        network: the kind of network that the new search trains.
        most: maximum number of points; the best points of each study come first.

    Raises:
        OptionError: a study used a different kind of network, or none of its values is in the space of this search.
    """
    points: list[dict[str, Value]] = []
    sources: list[str] = []
    left_out: set[str] = set()
    fitting: dict[str, bool] = {}
    studies = list(dict.fromkeys(setting.study for setting in earlier))
    ranked = [[setting for setting in earlier if setting.study == study] for study in studies]
    for setting in (setting for rank in zip_longest(*ranked) for setting in rank if setting):
        if setting.values["network"] != network:
            raise OptionError(
                f"--from {setting.study}: its network is {setting.values['network']}, but this search trains "
                f"{network}; omit this --from"
            )
        values = {name: setting.values[name] for name in space}
        fits = {name: value for name, value in values.items() if not outside_space({name: value}, space, fixed={})}
        left_out |= values.keys() - fits.keys()
        fitting[setting.study] = fitting.get(setting.study, False) or bool(fits)
        if fits and fits not in points and len(points) < most:
            points.append(fits)
            sources.append(f"{setting.study} trial {setting.trial}")
    for study, fits_at_all in fitting.items():
        if not fits_at_all:
            raise OptionError(
                f"--from {study}: none of this study's values is in the space of the search; omit this --from"
            )
    note = f"first {', '.join(sources)}"
    if left_out:
        note += f"; some values of {', '.join(sorted(left_out))} are outside the space and are replaced by the default"
    return WarmStart(points, sources, note)
