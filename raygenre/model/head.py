"""GenreHead: a small network that maps pretrained features to one logit per genre.

Shapes: B tracks in a batch, F features, G genres.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from raygenre.model.dropout import Dropout


@dataclass(frozen=True)
class HeadConfig:
    """Dimensions of a GenreHead.

    Attributes:
        genres: number of classes.
        features: number of input values.
        dense: number of units in the dense layer.
        dropout: dropout probability before and after the dense layer.
        network: name that distinguishes these dimensions from those of a GenreCNN when they are read from a file.
    """

    genres: int = 10
    features: int = 1506
    dense: int = 64
    dropout: float = 0.3
    network: Literal["head"] = "head"

    def __post_init__(self) -> None:
        if self.genres < 2:
            raise ValueError(f"genres must be at least 2, not {self.genres}")
        for name in ("features", "dense"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be from 0 to below 1, not {self.dropout}")


class GenreHead(nn.Module):
    """Batch normalisation, dropout, a dense layer, dropout, and one logit per genre."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.config = config
        # The features of a track never change, so the statistics are averaged over all batches (momentum None). Moving
        # averages would start at a mean of 0 and a variance of 1, far from those of the features. On a small data set,
        # which has few steps per epoch, they would adapt too slowly. With two steps per epoch, moving averages kept the
        # validation loss above that of guessing for the first 20 epochs.
        self.normalisation = nn.BatchNorm1d(config.features, momentum=None)
        self.classifier = nn.Sequential(
            Dropout(config.dropout),
            nn.Linear(config.features, config.dense),
            nn.ReLU(),
            Dropout(config.dropout),
            nn.Linear(config.dense, config.genres),
        )
        for layer in self.classifier:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits (B, G) for features, float32 (B, F)."""
        logits: Tensor = self.classifier(self.normalisation(features))
        return logits
