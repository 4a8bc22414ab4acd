"""Presets: search spaces for the original network, the improved one and pretrained features.

A preset supplies the entries and the first point of a search. `--space`, `--start` and other options override it.
"""

from dataclasses import dataclass, field

from raygenre.search.space.choices import PresetName
from raygenre.search.space.space import Entry, Setting


@dataclass(frozen=True)
class Preset:
    """The defaults of a search for one kind of network.

    Attributes:
        epochs: default number of epochs on real data.
        batch_size: default batch size on real data.
        entries: entries of the search space that differ from the default space.
        start: the setting to try first; if the space does not contain it, the nearest setting is tried instead.
    """

    epochs: int
    batch_size: int
    entries: dict[str, Entry] = field(default_factory=dict)
    start: Setting = field(default_factory=Setting)


HEAD = Preset(
    epochs=40,
    batch_size=16,
    entries={
        "network": "head",
        "dense": 100,
        "precision": "float32",
        "optimizer": "adamw",
        "weight_decay": 0.01,
        "dropout": {"low": 0.1, "high": 0.7},
        "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    },
    start=Setting(dropout=0.5, learning_rate=1e-3),
)
"""The preset for `--model pretrained`: a network on pretrained features, which takes only seconds to train."""

HEAD_NAMES = (
    "dropout", "learning_rate", "decay", "batch_size", "dense", "optimizer", "weight_decay", "schedule",
    "label_smoothing", "mixup", "averaging", "precision",
)  # fmt: skip
"""The hyperparameters of a network that uses pretrained features."""

PRESETS: dict[PresetName, Preset] = {
    "original": Preset(epochs=40, batch_size=16),
    # The network has fewer than 200 000 parameters. Training on crops shows it a different 9 s of each track in every
    # epoch, and a step takes less than a third of the time of a step on whole tracks.
    "improved": Preset(
        epochs=100,
        batch_size=16,
        entries={
            "convolutions": 4,
            "stem": "strided",
            "normalisation": "batch",
            "crop_columns": 96,
            "optimizer": "adamw",
            "weight_decay": 0.05,
            "schedule": "one-cycle",
            "label_smoothing": 0.1,
            "masks": 2,
            "distortion": 1.0,
            "averaging": 0.998,
            # With batch normalisation and warm-up, AdamW trains well at higher learning rates than NAdam does without
            # them. With 4e-3 and batches of 16, the validation loss after 60 epochs is lower than with 2e-3 and batches
            # of 32.
            "learning_rate": {"low": 5e-4, "high": 1e-2, "log": True},
        },
        start=Setting(dropout=0.1, learning_rate=4e-3),
    ),
}
