"""Data augmentation: change training tracks without changing their genre."""

import torch
from torch import Tensor


def erase(batch: Tensor) -> Tensor:
    """Return a batch, uint8 (B, 128, 333), with a random rectangle set to 0 in about half of the tracks."""
    from torchvision.transforms import v2  # slow: in most tests, the import takes longer than an epoch

    erasing = v2.RandomErasing(p=0.5, scale=(0.02, 0.2), ratio=(0.3, 3.3), value=0)
    return torch.cat([erasing(track) for track in batch[:, None]])
