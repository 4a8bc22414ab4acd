"""MSD_musicnn in PyTorch: it maps 3 s of music to 1506 features and fifty tags.

The network was trained by J. Pons and X. Serra (musicnn: Pre-trained convolutional neural networks for music audio
tagging, 2019) on the Million Song Dataset. This module runs it but cannot train it.

The network's front end slides two wide kernels (7 frames × 38 or 67 bands: timbre) and three long kernels (128, 64 and
32 frames × 1 band: rhythm) over a single channel. It keeps each kernel's largest normalised value over all bands. This
implementation takes a third of the time that torch's convolutions take, or a sixth in bfloat16
(`benchmarks/pretrained.py`), for two reasons:

- A single matrix product, of the frames' neighbourhoods with the kernels, computes the kernels' outputs at one band for
  all frames. Neighbourhoods at different bands are overlapping views of the same memory, so they are not copied.
- Normalisation keeps the order of the values or, where the scale gamma is negative, reverses it. The kernels of
  channels with a negative gamma are negated, so one running maximum is enough for all channels. The bias, the rectifier
  and the normalisation are applied to this maximum, which is one value for each frame and channel instead of up to 96.

Shapes: P patches, T = 187 frames of 16 ms, M = 96 mel bands, C channels.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raygenre.pretrained.log_mel import BANDS, FRAMES

TIMBRAL_BANDS = (38, 67)  # 40 % and 70 % of the bands
TIMBRAL_FRAMES = 7
TEMPORAL_FRAMES = (128, 64, 32)
MIDDLE_FRAMES = 7
EPSILON = 1e-3  # for batch normalisation; TensorFlow's default

_FRAMES_PER_PRODUCT = 8  # output frames that one matrix product computes for the long kernels
# Patches that pass through the front end together; few on a CPU, so that their values stay in the cache.
_PATCHES_IN_FLOAT32, _PATCHES_IN_BFLOAT16, _PATCHES_ON_GPU = 1, 5, 64


@dataclass(frozen=True)
class Dimensions:
    """The numbers of channels, units and tags.

    Attributes:
        timbral: number of channels for each of the two wide kernel sizes.
        temporal: number of channels for each of the three long kernel sizes.
        middle: number of channels of each of the three convolutions over time.
        units: number of units in the dense layer.
        tags: number of tags.
    """

    timbral: int = 204
    temporal: int = 51
    middle: int = 64
    units: int = 200
    tags: int = 50

    @property
    def front(self) -> int:
        """Number of channels that the front end returns."""
        return len(TIMBRAL_BANDS) * self.timbral + len(TEMPORAL_FRAMES) * self.temporal

    @property
    def features(self) -> int:
        """Number of features of a patch: the maximum and the mean of each channel."""
        return 2 * (self.front + 3 * self.middle)


class Output(NamedTuple):
    """The network's output for patches.

    Attributes:
        features: (P, 1506), the maximum and the mean over time of channel 0, then of channel 1, and so on.
        logits: (P, 50), one per tag; `sigmoid` converts them to probabilities.
    """

    features: Tensor
    logits: Tensor


class PooledConvolution(nn.Module):
    """A convolution of one channel, rectified, normalised, and reduced to the largest value over all bands.

    Its kernel is `frames` × `bands`. The frames are padded with zeros so that their number stays the same; the bands
    are not padded.
    """

    def __init__(self, channels: int, *, frames: int, bands: int) -> None:
        super().__init__()
        self.frames, self.bands = frames, bands
        self.convolution = nn.Conv2d(1, channels, (frames, bands))
        self.normalisation = nn.BatchNorm1d(channels, EPSILON)

    def forward(self, patches: Tensor) -> Tensor:
        """(P, T, M) → (P, C, T), in float32; all steps up to the maximum use the precision of `patches`."""
        signs = torch.where(self.normalisation.weight < 0, -1.0, 1.0)
        kernels = (self.convolution.weight[:, 0] * signs[:, None, None]).to(patches.dtype)  # (C, frames, bands)
        largest = self._over_frames(patches, kernels) if self.bands == 1 else self._over_bands(patches, kernels)
        return self.completed(largest.float(), signs)

    def completed(self, largest: Tensor, signs: Tensor) -> Tensor:
        """Return the normalised values for the largest products, (P, C, T), of kernels multiplied by `signs`."""
        assert self.convolution.bias is not None
        rectified = F.relu(torch.addcmul(self.convolution.bias[:, None], signs[:, None], largest))
        normalised: Tensor = self.normalisation(rectified)
        return normalised

    def _over_bands(self, patches: Tensor, kernels: Tensor) -> Tensor:
        """Apply wide kernels, with one matrix product over all frames for each position along the bands."""
        padded = F.pad(patches, (0, 0, *_same(self.frames)))
        # (P·T, M·frames): each frame's neighbours, band after band, so that a position's window is a slice of columns
        neighbours = padded.unfold(1, self.frames, 1).reshape(-1, BANDS * self.frames)
        matrix = kernels.permute(2, 1, 0).reshape(self.bands * self.frames, -1)  # (bands·frames, C)
        largest, product = (patches.new_empty(len(neighbours), len(kernels)) for _ in range(2))
        for position in range(BANDS - self.bands + 1):
            first = position * self.frames
            window = neighbours[:, first : first + len(matrix)]
            torch.mm(window, matrix, out=product if position else largest)
            if position:
                torch.maximum(largest, product, out=largest)
        return largest.view(len(patches), FRAMES, -1).mT

    def _over_frames(self, patches: Tensor, kernels: Tensor) -> Tensor:
        """Apply long kernels, with one matrix product over all bands for every eight frames."""
        steps = -(-FRAMES // _FRAMES_PER_PRODUCT)
        before, after = _same(self.frames)
        padded = F.pad(patches.mT, (before, after + steps * _FRAMES_PER_PRODUCT - FRAMES))
        bands = padded.reshape(-1, padded.shape[-1])  # (P·M, frames), so that a step's windows are a slice of columns
        moved = [F.pad(kernels[..., 0], (step, _FRAMES_PER_PRODUCT - 1 - step)) for step in range(_FRAMES_PER_PRODUCT)]
        matrix = torch.cat(moved).T.contiguous()  # (frames + 7, 8·C): the kernels, shifted by 0 to 7 frames
        largest = patches.new_empty(steps, len(patches), matrix.shape[1])
        for step, out in enumerate(largest):
            first = step * _FRAMES_PER_PRODUCT
            product = bands[:, first : first + len(matrix)] @ matrix
            torch.amax(product.view(len(patches), BANDS, -1), dim=1, out=out)
        frames = largest.view(steps, len(patches), _FRAMES_PER_PRODUCT, len(kernels)).transpose(1, 2)
        return frames.flatten(0, 1)[:FRAMES].permute(1, 2, 0)


class MiddleConvolution(nn.Module):
    """A convolution over time, rectified and normalised: (P, C, T) → (P, K, T)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(channels_in, channels_out, MIDDLE_FRAMES, padding=MIDDLE_FRAMES // 2)
        self.normalisation = nn.BatchNorm1d(channels_out, EPSILON)

    def forward(self, channels: Tensor) -> Tensor:
        """Convolve, rectify and normalise."""
        result: Tensor = self.normalisation(F.relu(self.convolution(channels)).float())
        return result


class MusicNetwork(nn.Module):
    """The whole network, in evaluation mode."""

    def __init__(self, dimensions: Dimensions = Dimensions()) -> None:
        super().__init__()
        self.dimensions = dimensions
        self.input = nn.BatchNorm1d(1, EPSILON)
        self.front = nn.ModuleList(
            [
                *(PooledConvolution(dimensions.timbral, frames=TIMBRAL_FRAMES, bands=bands) for bands in TIMBRAL_BANDS),
                *(PooledConvolution(dimensions.temporal, frames=frames, bands=1) for frames in TEMPORAL_FRAMES),
            ]
        )
        widths = [dimensions.front, *[dimensions.middle] * 3]
        self.middle = nn.ModuleList(MiddleConvolution(*pair) for pair in pairwise(widths))
        self.pooled = nn.BatchNorm1d(dimensions.features, EPSILON)
        self.dense = nn.Linear(dimensions.features, dimensions.units)
        self.normalisation = nn.BatchNorm1d(dimensions.units, EPSILON)
        self.tags = nn.Linear(dimensions.units, dimensions.tags)
        self.requires_grad_(False).eval()

    @torch.inference_mode()
    def forward(self, patches: Tensor, *, bfloat16: bool = False) -> Output:
        """Return the features and logits of patches.

        Args:
            patches: float32 (P, 187, 96), from `log_mel`.
            bfloat16: whether to multiply in bfloat16, which is fast on some processors; sums and pooling stay in
                float32.
        """
        size = _PATCHES_IN_BFLOAT16 if bfloat16 else _PATCHES_IN_FLOAT32
        if patches.device.type != "cpu":
            size = _PATCHES_ON_GPU
        normalised = self.input(patches.reshape(len(patches), 1, -1)).view_as(patches)
        cast = normalised.bfloat16() if bfloat16 else normalised
        features = []
        for part in cast.split(size):
            front = torch.cat([convolution(part) for convolution in self.front], dim=1)  # (P, 561, T)
            with torch.autocast(patches.device.type, dtype=torch.bfloat16, enabled=bfloat16):
                features.append(self.pool_over_time(front))
        pooled = torch.cat(features)
        return Output(pooled, self.logits(pooled))

    def pool_over_time(self, front: Tensor) -> Tensor:
        """Return the features, (P, 1506), for the front end's channels, (P, 561, T)."""
        first = self.middle[0](front)
        second = first + self.middle[1](first)
        third = second + self.middle[2](second)
        channels = torch.cat([front, first, second, third], dim=1)  # (P, 753, T)
        return torch.stack([channels.amax(dim=-1), channels.mean(dim=-1)], dim=-1).flatten(1)

    def logits(self, features: Tensor) -> Tensor:
        """Return the tags' logits, (P, 50), for features, (P, 1506)."""
        result: Tensor = self.tags(self.normalisation(F.relu(self.dense(self.pooled(features)))))
        return result


def _same(frames: int) -> tuple[int, int]:
    """Return the numbers of padding frames before and after; as in TensorFlow, an even kernel gets one more after."""
    return (frames - 1) // 2, frames // 2
