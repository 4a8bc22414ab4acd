"""The rows of the accuracy table: which networks are trained, how, and on which split.

A row describes one network, its training, a split and several seeds. If the row is used to choose between networks, it
is measured on validation tracks. Otherwise, the network is trained on the training and validation tracks together, and
each seed is evaluated on the test tracks once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from raygenre.search.space.presets import PRESETS
from raygenre.search.space.space import Setting, Value

SplitKind = Literal["user", "together", "filtered", "artists"]

SPLITS: dict[SplitKind, str] = {
    "user": "800/199 at random, copies of a recording on both sides",
    "together": "800/199 at random, known copies of a recording on one side",
    "filtered": "fault-filtered lists, 443/197/290",
    "artists": "fault-filtered lists, without training tracks by an artist of the test tracks",
}
_SEEDS = (0, 1, 2)
_SHORT = 30  # number of epochs for the rows that compare techniques on validation tracks
_IMPROVED: dict[str, Value] = {
    **{name: value for name, value in PRESETS["improved"].entries.items() if not isinstance(value, (dict, list))},
    "dropout": PRESETS["improved"].start.dropout,
    "learning_rate": PRESETS["improved"].start.learning_rate,
    "batch_size": PRESETS["improved"].batch_size,
    "decay": 0.0,
}


@dataclass(frozen=True)
class Row:
    """One row of the results table.

    Attributes:
        name: name of the row and its file.
        title: what is measured.
        split: how the tracks are split; a key of `SPLITS`.
        epochs: number of epochs; training never stops early.
        values: values of the setting that differ from those of the project's first network.
        tested: whether the network is evaluated on the test tracks instead of the validation tracks.
        holds_out: for a tested row, whether the validation tracks are kept out of training.
        seeds: seeds of the training runs.
        average_of: name of another row. If set, no network is trained: the probabilities are averaged over the other
            row's networks, one per seed.
        of_study: whether the row is the final model of a search, which is read from the search's study.
    """

    name: str
    title: str
    split: SplitKind
    epochs: int
    values: dict[str, Value] = field(default_factory=dict)
    tested: bool = False
    holds_out: bool = False
    seeds: tuple[int, ...] = _SEEDS
    average_of: str = ""
    of_study: bool = False

    @property
    def setting(self) -> Setting:
        return Setting(**self.values)  # type: ignore[arg-type]


def _means() -> Iterator[Row]:
    """Yield rows with each technique added to the original network, or removed from the improved network."""
    yield Row("means-original", "original", "filtered", _SHORT)
    yield Row("means-improved", "improved", "filtered", _SHORT, _IMPROVED)
    groups = {
        "crops": ("crop_columns",),
        "network": ("convolutions", "stem"),
        "normalisation": ("normalisation",),
        "masks": ("masks",),
        "distortion": ("distortion",),
        "smoothing": ("label_smoothing",),
        "optimizer": ("optimizer", "weight_decay", "learning_rate"),
        "schedule": ("schedule",),
        "averaging": ("averaging",),
    }
    for name, fields in groups.items():
        alone = {field: _IMPROVED[field] for field in fields}
        without = {field: value for field, value in _IMPROVED.items() if field not in fields}
        yield Row(f"means-only-{name}", f"original with {name}", "filtered", _SHORT, alone)
        yield Row(f"means-no-{name}", f"improved without {name}", "filtered", _SHORT, without)
    yield Row("means-mixup", "improved with mixup", "filtered", _SHORT, {**_IMPROVED, "mixup": 0.2})


ROWS: dict[str, Row] = {
    row.name: row
    for row in (
        Row("baseline", "the project's first network", "user", 150, tested=True, holds_out=True),
        *_means(),
        Row("means-time-original", "original", "filtered", 20),
        # On the cores that produced the stored results, 40 epochs take as long as 20 epochs of the original network.
        Row("means-time-improved", "improved, in the same time", "filtered", 40, _IMPROVED),
        Row("means-user-original", "original", "user", 20),
        Row("means-user-improved", "improved, in the same time", "user", 40, _IMPROVED),
        Row("improved-user", "improved", "user", 200, _IMPROVED, tested=True),
        Row("improved-together", "improved", "together", 200, _IMPROVED, tested=True),
        Row("improved-filtered", "improved", "filtered", 160, _IMPROVED, tested=True),
        Row(
            "ensemble-filtered",
            "mean of the three networks of improved",
            "filtered",
            160,
            _IMPROVED,
            tested=True,
            seeds=(0,),
            average_of="improved-filtered",
        ),
        Row(
            "wide-filtered",
            "improved, with 1.5 times as many channels",
            "filtered",
            160,
            {**_IMPROVED, "width": 48},
            tested=True,
        ),
        Row("improved-artists", "improved", "artists", 160, _IMPROVED, tested=True),
        Row(
            "search",
            "improved, with the best setting of a search",
            "filtered",
            100,
            _IMPROVED,
            tested=True,
            seeds=(0,),
            of_study=True,
        ),
    )
}
