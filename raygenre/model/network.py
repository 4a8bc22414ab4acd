"""GenreCNN: a convolutional network that maps levels to one logit per genre.

Shapes: B tracks in a batch, M = 128 mel bands, T = 333 columns, C channels, G genres.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from raygenre.model.convolution import Convolution
from raygenre.model.dropout import Dropout
from raygenre.spectrogram.levels import N_MELS

NormalisationName = Literal["none", "batch"]


@dataclass(frozen=True)
class ModelConfig:
    """Dimensions of a GenreCNN; the defaults are those of the project's first network.

    Attributes:
        genres: number of classes.
        widths: number of channels in each of the three convolutions.
        dense: number of units in the dense layer.
        dropout: dropout probability after the last convolution and after the dense layer.
        normalisation: `batch` adds batch normalisation after every convolution.
        frequency_bins: number of positions along the frequency axis after the last pooling; 1 averages over the axis.
        level_mean, level_std: mean and standard deviation of the training tracks' levels, used to standardise the
            input.
    """

    genres: int = 10
    widths: tuple[int, int, int] = (32, 64, 128)
    dense: int = 64
    dropout: float = 0.3
    normalisation: NormalisationName = "none"
    frequency_bins: int = 1
    level_mean: float = 127.5
    level_std: float = 127.5

    def __post_init__(self) -> None:
        if self.genres < 2:
            raise ValueError(f"genres must be at least 2, not {self.genres}")
        if len(self.widths) != 3 or min(self.widths) < 1:
            raise ValueError(f"widths must be three positive numbers of channels, not {self.widths}")
        if self.dense < 1:
            raise ValueError(f"dense must be at least 1, not {self.dense}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be from 0 to below 1, not {self.dropout}")
        if self.normalisation not in get_args(NormalisationName):
            raise ValueError(f"normalisation must be none or batch, not {self.normalisation!r}")
        if not 1 <= self.frequency_bins <= N_MELS // 4:
            raise ValueError(f"frequency_bins must be from 1 to {N_MELS // 4}, not {self.frequency_bins}")
        if not self.level_std > 0:
            raise ValueError(f"level_std must be positive, not {self.level_std}")


class GenreCNN(nn.Module):
    """Three convolutions, max pooling after the first two, average pooling after the third, and two dense layers."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        first, second, last = config.widths
        # ReLU follows max pooling. The result is the same, but only a quarter as many values are processed.
        self.features = nn.Sequential(
            *self._convolution(1, first),
            nn.MaxPool2d(2),
            nn.ReLU(),
            *self._convolution(first, second),
            nn.MaxPool2d(2),
            nn.ReLU(),
            *self._convolution(second, last),
            nn.ReLU(),
            Dropout(config.dropout),
        )
        self.pool = nn.AdaptiveAvgPool2d((config.frequency_bins, 1))
        self.classifier = nn.Sequential(
            nn.Linear(last * config.frequency_bins, config.dense),
            nn.ReLU(),
            Dropout(config.dropout),
            nn.Linear(config.dense, config.genres),
        )
        # The initialisation follows He et al., 2015. torch's default weights are smaller, and with them the first
        # epochs would make no progress.
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def _convolution(self, channels_in: int, channels_out: int) -> list[nn.Module]:
        normalise = self.config.normalisation == "batch"
        convolution = Convolution(channels_in, channels_out, bias=not normalise)
        return [convolution, nn.BatchNorm2d(channels_out)] if normalise else [convolution]

    def forward(self, levels: Tensor) -> Tensor:
        """Compute the logits of tracks.

        Args:
            levels: uint8 (B, 128, 333), or float32 in the same range.

        Returns:
            logits (B, G), without softmax.
        """
        standard = (levels.float() - self.config.level_mean) / self.config.level_std
        images = standard.unsqueeze(1).contiguous(memory_format=torch.channels_last)  # (B, 1, M, T)
        features = self.features(images)  # (B, C, M/4, T/4)
        logits: Tensor = self.classifier(self.pool(features).flatten(1))  # (B, G)
        return logits


def parameter_count(model: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters())
