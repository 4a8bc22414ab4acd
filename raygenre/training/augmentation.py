"""Data augmentation: change training tracks without changing their genre.

All random numbers come from torch's default generators, so they depend only on the seed that the training loop sets.

Shapes: B tracks in a batch, M = 128 mel bands, T columns, C columns of a crop, G genres.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from raygenre.training.config import TrainingConfig

_MASKED = 1 / 8  # largest share of the mel bands or columns that one mask covers
_BANDS = 2.0  # largest shift, in mel bands: about a semitone around 1 kHz
_STRETCH = 0.1  # largest change in tempo
_GAIN = 10.0  # largest change in loudness, in levels
_EQUALISER = 4.0  # standard deviation of the change of the frequency response, in levels
_EQUALISER_POINTS = 8  # points between which the frequency response is interpolated


def augment(batch: Tensor, config: TrainingConfig, columns: int) -> Tensor:
    """Return crops of tracks with all augmentations that the settings enable, except mixup.

    Args:
        batch: uint8 (B, M, T).
        columns: number of columns C of a crop; if it is T, whole tracks are returned.

    Returns:
        uint8 or float32 (B, M, C), in the range of levels.
    """
    if config.augmentation == "erasing":
        batch = erase(batch)
    if config.distortion:
        batch = distort(batch, columns, config.distortion)
    elif columns < batch.shape[-1]:
        batch = crop(batch, columns)
    if config.masks:
        batch = mask(batch, config.masks)
    return batch


def erase(batch: Tensor) -> Tensor:
    """Return a batch, uint8 (B, M, T), with a random rectangle set to 0 in about half of the tracks."""
    from torchvision.transforms import v2  # slow: in most tests, the import takes longer than an epoch

    erasing = v2.RandomErasing(p=0.5, scale=(0.02, 0.2), ratio=(0.3, 3.3), value=0)
    return torch.cat([erasing(track) for track in batch[:, None]])


def crop(batch: Tensor, columns: int) -> Tensor:
    """Return a random crop (B, M, C) of each track (B, M, T)."""
    starts = torch.randint(batch.shape[-1] - columns + 1, (len(batch),), device=batch.device)
    rows = torch.arange(len(batch), device=batch.device)
    return batch.unfold(-1, columns, 1)[rows, :, starts]


def distort(batch: Tensor, columns: int, strength: float) -> Tensor:
    """Return random crops with random pitch, tempo, loudness and frequency response.

    With a strength of 1, the pitch changes by up to 2 mel bands, the tempo by up to 10 %, and the loudness by up to 10
    levels. The frequency response is a smooth curve with a standard deviation of 4 levels.

    Args:
        batch: uint8 (B, M, T).
        columns: number of columns C of a crop.

    Returns:
        float32 (B, M, C).
    """
    count, bands, total = batch.shape
    device = batch.device

    def uniform(largest: float) -> Tensor:
        return (2 * torch.rand(count, device=device) - 1) * (largest * strength)

    # In the coordinates of `affine_grid`, a track extends from -1 to 1 on both axes.
    width = ((1 + uniform(_STRETCH)) * columns / total).clamp(max=1)
    left = torch.rand(count, device=device) * (2 - 2 * width)
    transform = torch.zeros(count, 2, 3, device=device)
    transform[:, 0, 0] = width
    transform[:, 0, 2] = left + width - 1
    transform[:, 1, 1] = 1
    transform[:, 1, 2] = uniform(_BANDS) * 2 / bands
    grid = F.affine_grid(transform, [count, 1, bands, columns], align_corners=False)
    crops = F.grid_sample(batch.float()[:, None], grid, align_corners=False)[:, 0]

    points = torch.randn(count, 1, _EQUALISER_POINTS, device=device) * (_EQUALISER * strength)
    response = F.interpolate(points, size=bands, mode="linear", align_corners=True)[:, 0]  # (B, M)
    louder = response + uniform(_GAIN)[:, None]
    # A level of 0 is the floor of the scale, so positions without sound keep that level.
    return torch.where(crops > 0, (crops + louder[..., None]).clamp(0, 255), crops)


def mask(batch: Tensor, count: int) -> Tensor:
    """Return levels (B, M, C) with `count` random ranges of mel bands and `count` random ranges of columns set to 0."""
    masked = batch.clone()
    for axis in (1, 2):
        size = batch.shape[axis]
        widths = torch.randint(int(size * _MASKED) + 1, (count, len(batch), 1), device=batch.device)
        starts = (torch.rand(widths.shape, device=batch.device) * (size - widths + 1)).long()
        positions = torch.arange(size, device=batch.device)
        hidden = ((positions >= starts) & (positions < starts + widths)).any(dim=0)  # (B, size)
        masked.masked_fill_(hidden[:, :, None] if axis == 1 else hidden[:, None, :], 0)
    return masked


def mix(batch: Tensor, targets: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Mix every track with another track of the batch (mixup).

    Args:
        batch: levels (B, M, C).
        targets: float32 (B, G), probabilities of the genres.
        alpha: parameter of the Beta distribution from which the weight is drawn.

    Returns:
        float32 (B, M, C) and (B, G).
    """
    generator = np.random.default_rng(int(torch.randint(2**62, ())))
    weight = float(generator.beta(alpha, alpha))
    other = torch.randperm(len(batch)).to(batch.device)
    levels = batch.float()
    return levels.lerp(levels[other], 1 - weight), targets.lerp(targets[other], 1 - weight)
