"""The search space: each hyperparameter is a range, a list of choices or a fixed value.

A space is a dict of entries that can be stored as YAML or JSON: `{"low": 0.0, "high": 0.5}` is a range, with an
optional `log` or `step`; a list holds choices; anything else is a fixed value. The range of an integer hyperparameter
contains only integers.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from raygenre.errors import RaygenreError
from raygenre.model.head import HeadConfig
from raygenre.model.network import ModelConfig, NormalisationName, StemName
from raygenre.model.networks import NetworkConfig
from raygenre.search.space.choices import NETWORKS, NetworkName, alternatives
from raygenre.spectrogram.levels import COLUMNS
from raygenre.training.choices import AugmentationName, OptimizerName, PrecisionName, ScheduleName
from raygenre.training.config import TrainingConfig

Value = float | int | str
Entry = Value | list[Value] | dict[str, Any]

_FACTORS = {3: (1, 2, 4), 4: (1, 2, 3, 4)}  # channels of the convolutions, in multiples of the width


class SpaceError(RaygenreError, ValueError):
    """A search space or a start point is invalid."""


@dataclass(frozen=True)
class Setting:
    """The hyperparameters of one trial; the default values are the project's original setting.

    `Plan` holds the values that all trials of a search share, such as the number of genres and the device.

    Attributes:
        width: channels of the first convolution; the others have 2, 3 and 4 times as many, or 2 and 4 times as many if
            there are three convolutions.
        convolutions: number of convolutions, 3 or 4.
        dropout, normalisation, dense, frequency_bins, stem, crop_columns: see `ModelConfig`.
        network: `cnn`, or `head` for a network that uses pretrained features, to which only dropout and dense apply;
            see `HeadConfig`.
        All others: see `TrainingConfig`.
    """

    dropout: float = 0.3
    learning_rate: float = 1e-3
    decay: float = 0.01
    batch_size: int = 16
    augmentation: AugmentationName = "none"
    normalisation: NormalisationName = "none"
    width: int = 32
    dense: int = 64
    frequency_bins: int = 1
    precision: PrecisionName = "auto"
    convolutions: int = 3
    stem: StemName = "plain"
    crop_columns: int = COLUMNS
    crops: int = 1
    optimizer: OptimizerName = "nadam"
    weight_decay: float = 0.0
    schedule: ScheduleName = "constant"
    label_smoothing: float = 0.0
    mixup: float = 0.0
    masks: int = 0
    distortion: float = 0.0
    averaging: float = 0.0
    network: NetworkName = "cnn"

    def __post_init__(self) -> None:
        if self.width < 1:
            raise SpaceError(f"width must be at least 1, not {self.width}")
        if self.network not in NETWORKS:
            raise SpaceError(f"network must be {alternatives(NETWORKS)}, not {self.network!r}")
        if self.convolutions not in _FACTORS:
            raise SpaceError(f"convolutions must be 3 or 4, not {self.convolutions}")
        self.model(2)
        self.training()

    def model(self, genres: int) -> NetworkConfig:
        """Return the network configuration."""
        if self.network == "head":
            return HeadConfig(genres=genres, dense=self.dense, dropout=self.dropout)
        return ModelConfig(
            genres=genres,
            widths=tuple(self.width * factor for factor in _FACTORS[self.convolutions]),
            **self._values_of(ModelConfig),
        )

    def training(self) -> TrainingConfig:
        """Return the training configuration."""
        return TrainingConfig(**self._values_of(TrainingConfig))

    def _values_of(self, kind: type[ModelConfig] | type[TrainingConfig]) -> dict[str, Any]:
        """Return the values of the fields that a setting and a configuration share."""
        own = vars(self)
        return {field.name: own[field.name] for field in fields(kind) if field.name in own}


KINDS: dict[str, type[Value]] = {name: type(value) for name, value in asdict(Setting()).items()}
WIDTHS: dict[str, Any] = {"low": 8, "high": 64, "log": True}
"""Range for `--search-width`; the networks need from one sixteenth to four times the default network's computation."""


def default_entries(epochs: int) -> dict[str, Entry]:
    """Return the entries that a search of this many epochs uses unless a space file overrides them."""
    return {
        # At most half of the units are dropped: with more dropout, a network this small no longer fits its training
        # tracks.
        "dropout": {"low": 0.0, "high": 0.5},
        # The range contains NAdam's default, 1e-3. It ends at 5e-3 because training without normalisation usually
        # diverges at this rate and above. The range is logarithmic because the ratio of two learning rates matters,
        # not their difference.
        "learning_rate": {"low": 2e-4, "high": 5e-3, "log": True},
        # From the first to the last epoch, the weakest decay reduces the learning rate to 91 %, the strongest to 10 %.
        "decay": {"low": 0.1 / epochs, "high": 9 / epochs, "log": True},
    }


def default_space(epochs: int) -> dict[str, BaseDistribution]:
    """Return the distributions of the default space for a search of this many epochs."""
    return to_distributions(default_entries(epochs))


def parse_entry(name: str, raw: object) -> Entry:
    """Check an entry and return it, converting strings such as `1e-3`, which YAML does not read as numbers.

    Raises:
        SpaceError: the name is unknown, or the entry is invalid.
    """
    if name not in KINDS:
        raise SpaceError(unknown_name(name, KINDS))
    if isinstance(raw, Mapping):
        return _range(name, raw)
    if isinstance(raw, list):
        choices = [_value(name, value) for value in raw]
        if len(set(choices)) < max(2, len(choices)):
            raise SpaceError(f"{name}: {raw} needs at least two different choices; a fixed value needs no brackets")
        return choices
    return _value(name, raw)


def to_distributions(entries: Mapping[str, Entry]) -> dict[str, BaseDistribution]:
    """Return the distributions of the entries that are not fixed."""
    distributions: dict[str, BaseDistribution] = {}
    for name, entry in entries.items():
        if isinstance(entry, list):
            distributions[name] = CategoricalDistribution(entry)
        elif isinstance(entry, Mapping):
            distributions[name] = (IntDistribution if KINDS[name] is int else FloatDistribution)(**entry)
    return distributions


def fixed_values(entries: Mapping[str, Entry]) -> dict[str, Value]:
    """Return the values of the entries that are fixed."""
    return {name: entry for name, entry in entries.items() if isinstance(entry, (int, float, str))}


def nearest_point(space: Mapping[str, BaseDistribution], setting: Setting | None = None) -> dict[str, Value]:
    """Return the point of a space that is nearest to a setting, by default the project's original setting."""
    point: dict[str, Value] = {}
    for name, distribution in space.items():
        value = getattr(setting or Setting(), name)
        if isinstance(distribution, (FloatDistribution, IntDistribution)):
            value = min(max(value, distribution.low), distribution.high)
            if distribution.step:
                value = distribution.low + round((value - distribution.low) / distribution.step) * distribution.step
        elif isinstance(distribution, CategoricalDistribution) and value not in distribution.choices:
            value = distribution.choices[0]
        point[name] = value
    return point


def unknown_name(name: object, names: Iterable[str]) -> str:
    """Return the message for an unknown name; it suggests the closest valid name, if any."""
    names = list(names)
    close = get_close_matches(str(name), names, n=1, cutoff=0.5)
    return f"unknown name {name}; " + (f"did you mean {close[0]}?" if close else f"expected one of {', '.join(names)}")


def _range(name: str, raw: Mapping[object, object]) -> Entry:
    if KINDS[name] is str:
        raise SpaceError(f"{name}: a range must be numeric; use a list of choices or a single value")
    for key in raw:
        if key not in ("low", "high", "log", "step"):
            raise SpaceError(f"{name}: {unknown_name(key, ('low', 'high', 'log', 'step'))}")
    if missing := {"low", "high"} - raw.keys():
        raise SpaceError(f"{name}: a range needs low and high, but lacks {' and '.join(sorted(missing))}")
    entry: dict[str, Any] = {key: _value(name, raw[key], place=f"{name}: {key}") for key in ("low", "high")}
    if not entry["low"] < entry["high"]:
        raise SpaceError(f"{name}: low must be less than high, but low is {entry['low']} and high is {entry['high']}")
    log = raw.get("log", False)
    if not isinstance(log, bool):
        raise SpaceError(f"{name}: log must be true or false, not {log!r}")
    if log and entry["low"] <= 0:
        raise SpaceError(f"{name}: a logarithmic range must start above 0, not at {entry['low']}")
    if "step" in raw:
        if log:
            raise SpaceError(f"{name}: log and step cannot be combined; remove one of them")
        entry["step"] = _number(raw["step"], KINDS[name], f"{name}: step")
        if not 0 < entry["step"] <= entry["high"] - entry["low"]:
            raise SpaceError(f"{name}: step must be above 0 and fit between low and high, not {entry['step']}")
    return entry | ({"log": True} if log else {})


def _value(name: str, raw: object, *, place: str = "") -> Value:
    """Return a value with the type that a setting requires."""
    place = place or name
    kind = KINDS[name]
    value: Value
    if kind is str:
        if not isinstance(raw, str):
            raise SpaceError(f"{place}: {raw!r} is not a string; put it in quotes")
        value = raw
    else:
        value = _number(raw, kind, place)
    try:
        Setting(**{name: value})  # type: ignore[arg-type]
    except ValueError as error:
        raise SpaceError(f"{place}: {error}") from error
    return value


def _number(raw: object, kind: type[Value], place: str) -> float | int:
    """Convert a value to a number. YAML reads `1e-3` as a string, because it contains no dot."""
    try:
        if isinstance(raw, bool) or not isinstance(raw, (int, float, str)):
            raise ValueError
        number = float(raw)
        if kind is int and number != int(number):
            raise ValueError
    except (ValueError, OverflowError) as error:
        expected = "a whole number" if kind is int else "a number"
        raise SpaceError(f"{place}: {raw!r} is not {expected}") from error
    return int(number) if kind is int else number


def short(value: float | str) -> str:
    """Format a value for printing; floats get three significant digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
