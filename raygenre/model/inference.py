"""From levels to logits, without dropout: what training, evaluation and the endpoint share."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raygenre.model.network import GenreCNN
from raygenre.model.precision import autocast

# On a CPU, tracks go through the network four at a time: their activations fit the cache and the pages that the
# allocator keeps. In training their gradients are added up, which is the same step.
CPU_CHUNK = 4
_EVALUATION_BATCH = 64


def predict_logits(model: GenreCNN, levels: NDArray[np.uint8], *, precision: str = "float32") -> Tensor:
    """Return logits float32 (N, G) on the CPU for levels uint8 (N, M, T), without dropout."""
    device = next(model.parameters()).device
    model.eval()
    logits = []
    chunk = CPU_CHUNK if device.type == "cpu" else _EVALUATION_BATCH
    with torch.inference_mode(), autocast(precision, device):
        for start in range(0, len(levels), _EVALUATION_BATCH):
            batch = torch.tensor(levels[start : start + _EVALUATION_BATCH], device=device)
            logits += [model(part).float().cpu() for part in batch.split(chunk)]
    return torch.cat(logits)
