"""Which region of a spectrogram made the network name a genre: Grad-CAM on the last convolution, or HiResCAM.

R. R. Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization, 2017. Of the
rectified maps of the last convolution, each is weighted by how much the genre's logit rises with it. Their sum says
where the genre was found; what spoke against it is left out. Where the network pools over the whole spectrogram this
is Grad-CAM to the letter. A network that keeps several bins of frequencies weights a map otherwise in each of them:
there every position has its own weight (R. L. Draelos and L. Carin, HiResCAM, 2020), since the mean over bins, as
Grad-CAM takes it, would point at low tones for what the network has found in high ones.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from raygenre.model.network import GenreCNN
from raygenre.spectrogram.levels import COLUMNS, N_MELS

_BATCH = 8


def saliency(model: GenreCNN, levels: NDArray[np.uint8], genres: NDArray[np.int64]) -> NDArray[np.float32]:
    """Explain why a network would name these genres.

    Args:
        model: in evaluation mode.
        levels: uint8 (N, 128, 333).
        genres: int64 (N,), for each track the genre that is to be explained.

    Returns:
        float32 (N, 128, 333), 1 where most of the evidence for the genre lies and 0 where there is none; 0 throughout
        for a track without any.
    """
    from captum.attr import LayerGradientXActivation

    device = next(model.parameters()).device
    attribution = LayerGradientXActivation(model, model.features)
    maps = []
    for start in range(0, len(levels), _BATCH):
        batch = torch.tensor(levels[start : start + _BATCH], device=device, dtype=torch.float32)
        targets = torch.tensor(genres[start : start + _BATCH], device=device)
        found = attribution.attribute(batch, target=targets).detach().sum(dim=1, keepdim=True).relu()  # (b, 1, 32, 83)
        whole = F.interpolate(found, size=(N_MELS, COLUMNS), mode="bilinear", align_corners=False)[:, 0]
        most = whole.amax(dim=(1, 2), keepdim=True)
        maps.append(torch.where(most > 0, whole / most, torch.zeros_like(whole)).cpu())
    return torch.cat(maps).numpy() if maps else np.zeros((0, N_MELS, COLUMNS), dtype=np.float32)
