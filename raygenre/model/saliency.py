"""Saliency maps: the regions of a spectrogram that support a genre.

The maps are computed with Grad-CAM or HiResCAM. Each feature map of the last convolution is weighted by the gradient of
the genre's logit, and the positive part of the weighted sum is the saliency. For a network that averages over the whole
spectrogram, this is Grad-CAM (R. R. Selvaraju et al., Visual Explanations from Deep Networks via Gradient-based
Localization, 2017). A network that keeps several frequency bins has a different gradient in each bin, so every position
is weighted by its own gradient (R. L. Draelos and L. Carin, HiResCAM, 2020). With Grad-CAM's mean gradient, evidence at
high frequencies would also highlight low frequencies. If a network processes a track in crops, the saliency of a
position is the mean over the crops that contain it.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from raygenre.model.network import GenreCNN
from raygenre.spectrogram.levels import COLUMNS, N_MELS

_BATCH = 8


def saliency(model: GenreCNN, levels: NDArray[np.uint8], genres: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the saliency of each position of each track, for the genre given for that track.

    Args:
        model: the network, in evaluation mode.
        levels: uint8 (N, 128, 333).
        genres: int64 (N,), the genre to explain for each track.

    Returns:
        float32 (N, 128, 333), scaled so that each track's maximum is 1; all 0 for a track without evidence for its
        genre.
    """
    from captum.attr import LayerGradientXActivation

    device = next(model.parameters()).device
    attribution = LayerGradientXActivation(model, model.features)
    width, starts = model.config.crop_columns, model.config.crop_starts
    maps = []
    for start in range(0, len(levels), _BATCH):
        batch = torch.tensor(levels[start : start + _BATCH], device=device, dtype=torch.float32)
        targets = torch.tensor(genres[start : start + _BATCH], device=device)
        full = torch.zeros_like(batch)
        seen = torch.zeros(COLUMNS, device=device)  # number of crops that contain each column
        for first in starts:
            crop = batch[..., first : first + width].contiguous()
            coarse = attribution.attribute(crop, target=targets).detach().sum(dim=1, keepdim=True).relu()
            fine = F.interpolate(coarse, size=(N_MELS, width), mode="bilinear", align_corners=False)[:, 0]
            full[..., first : first + width] += fine
            seen[first : first + width] += 1
        full /= seen
        maximum = full.amax(dim=(1, 2), keepdim=True)
        maps.append(torch.where(maximum > 0, full / maximum, torch.zeros_like(full)).cpu())
    return torch.cat(maps).numpy() if maps else np.zeros((0, N_MELS, COLUMNS), dtype=np.float32)
