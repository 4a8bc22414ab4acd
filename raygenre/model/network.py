"""GenreCNN: a convolutional network that maps levels to one logit per genre.

Shapes: B tracks in a batch, M = 128 mel bands, T = 333 columns, C channels, G genres.
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from raygenre.model.convolution import Convolution
from raygenre.model.dropout import Dropout
from raygenre.spectrogram.levels import COLUMNS, N_MELS

MIN_CROP = 32
"""Smallest number of columns in a crop: 2.9 s of music."""

NormalisationName = Literal["none", "batch"]
StemName = Literal["plain", "strided"]


@dataclass(frozen=True)
class ModelConfig:
    """Dimensions of a GenreCNN; the defaults are those of the project's first network.

    Attributes:
        genres: number of classes.
        widths: number of channels in each of the three or four convolutions.
        dense: number of units in the dense layer.
        dropout: dropout probability after the last convolution and after the dense layer.
        normalisation: `batch` to add batch normalisation after every convolution, or `none`.
        frequency_bins: number of positions along the frequency axis after the last pooling; 1 averages over the axis.
        stem: the first convolution. `plain` is 3×3, followed by max pooling. `strided` is 5×5 with a stride of 2, which
            takes less than a third of the time.
        crop_columns: number of columns that the network processes at a time. If it is less than 333, the network is
            trained on random crops, and a track's probabilities are the mean over evenly spaced crops.
        level_mean, level_std: mean and standard deviation of the training tracks' levels, used to standardise the
            input.
    """

    genres: int = 10
    widths: tuple[int, ...] = (32, 64, 128)
    dense: int = 64
    dropout: float = 0.3
    normalisation: NormalisationName = "none"
    frequency_bins: int = 1
    stem: StemName = "plain"
    crop_columns: int = COLUMNS
    level_mean: float = 127.5
    level_std: float = 127.5

    def __post_init__(self) -> None:
        if self.genres < 2:
            raise ValueError(f"genres must be at least 2, not {self.genres}")
        if len(self.widths) not in (3, 4) or min(self.widths) < 1:
            raise ValueError(f"widths must be three or four positive numbers of channels, not {self.widths}")
        if self.dense < 1:
            raise ValueError(f"dense must be at least 1, not {self.dense}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be from 0 to below 1, not {self.dropout}")
        if self.normalisation not in get_args(NormalisationName):
            raise ValueError(f"normalisation must be none or batch, not {self.normalisation!r}")
        if self.stem not in get_args(StemName):
            raise ValueError(f"stem must be plain or strided, not {self.stem!r}")
        rows = N_MELS // 2 ** (len(self.widths) - 1)  # rows that remain after pooling
        if not 1 <= self.frequency_bins <= rows:
            raise ValueError(f"frequency_bins must be from 1 to {rows}, not {self.frequency_bins}")
        if not MIN_CROP <= self.crop_columns <= COLUMNS:
            raise ValueError(f"crop_columns must be from {MIN_CROP} to {COLUMNS}, not {self.crop_columns}")
        if not self.level_std > 0:
            raise ValueError(f"level_std must be positive, not {self.level_std}")

    @property
    def crop_starts(self) -> list[int]:
        """First columns of the crops that a prediction averages over; neighbours overlap by half or slightly more."""
        last = COLUMNS - self.crop_columns
        count = max(math.ceil(2 * COLUMNS / self.crop_columns) - 1, 2) if last else 1
        return [round(index * last / max(count - 1, 1)) for index in range(count)]


class GenreCNN(nn.Module):
    """Three or four convolutions with pooling in between, average pooling, and two dense layers."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        channels = 1
        for number, width in enumerate(config.widths):
            strided = number == 0 and config.stem == "strided"
            layers += self._convolution(channels, width, strided=strided)
            # ReLU follows max pooling: the order does not affect the result, and ReLU then processes only a quarter as
            # many values.
            if number < len(config.widths) - 1 and not strided:
                layers.append(nn.MaxPool2d(2))
            layers.append(nn.ReLU())
            channels = width
        self.features = nn.Sequential(*layers, Dropout(config.dropout))
        self.pool = nn.AdaptiveAvgPool2d((config.frequency_bins, 1))
        self.classifier = nn.Sequential(
            nn.Linear(channels * config.frequency_bins, config.dense),
            nn.ReLU(),
            Dropout(config.dropout),
            nn.Linear(config.dense, config.genres),
        )
        # The initialisation follows He et al., 2015. torch's default weights are smaller; with them, training would
        # make no progress in the first epochs.
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def _convolution(self, channels_in: int, channels_out: int, *, strided: bool) -> list[nn.Module]:
        normalise = self.config.normalisation == "batch"
        convolution: nn.Module
        if strided:
            convolution = nn.Conv2d(channels_in, channels_out, 5, stride=2, padding=2, bias=not normalise)
        else:
            convolution = Convolution(channels_in, channels_out, bias=not normalise)
        return [convolution, nn.BatchNorm2d(channels_out)] if normalise else [convolution]

    def crops(self, levels: Tensor) -> Tensor:
        """Return the evenly spaced crops (B·K, M, crop_columns) of tracks (B, M, T): K crops for each track in turn."""
        width = self.config.crop_columns
        parts = [levels[..., start : start + width] for start in self.config.crop_starts]
        return torch.stack(parts, dim=1).flatten(0, 1)

    def forward(self, levels: Tensor) -> Tensor:
        """Compute the logits of tracks or of crops.

        Args:
            levels: uint8 (B, 128, 333), or float32 in the same range. In training mode, the number of columns may
                differ. In evaluation mode, tracks that are wider than a crop are classified crop by crop.

        Returns:
            logits (B, G), without softmax. For tracks with several crops, they are the logarithm of the mean of the
            crops' probabilities.
        """
        if not self.training and levels.shape[-1] > self.config.crop_columns:
            each = self._logits(self.crops(levels)).float().log_softmax(dim=1)  # (B·K, G)
            count = len(self.config.crop_starts)
            mean: Tensor = each.unflatten(0, (-1, count)).logsumexp(dim=1) - math.log(count)
            return mean
        return self._logits(levels)

    def _logits(self, levels: Tensor) -> Tensor:
        standard = (levels.float() - self.config.level_mean) / self.config.level_std
        images = standard.unsqueeze(1).contiguous(memory_format=torch.channels_last)  # (B, 1, M, T)
        features = self.features(images)  # (B, C, M/4, T/4), or M/8 and T/8 after four convolutions
        logits: Tensor = self.classifier(self.pool(features).flatten(1))  # (B, G)
        return logits


def parameter_count(model: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters())
