"""Changes to training tracks that leave their genre as it is."""

import torch
from torch import Tensor


def erase(batch: Tensor) -> Tensor:
    """Blank a random rectangle of each second track, each track its own: uint8 (B, 128, 333) → the same."""
    from torchvision.transforms import v2  # takes longer to import than most epochs of a test

    erasing = v2.RandomErasing(p=0.5, scale=(0.02, 0.2), ratio=(0.3, 3.3), value=0)
    return torch.cat([erasing(track) for track in batch[:, None]])
