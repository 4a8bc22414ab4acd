"""From levels to logits, without dropout: what training, evaluation and the endpoint share."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raygenre.model import GenreCNN
from raygenre.precision import autocast, in_bfloat16

# Activations of eight tracks in bfloat16 fit the cache and the allocator's own pages: on a CPU, batches go through the
# network eight tracks at a time with their gradients added up, which is the same step in two thirds of the time.
CPU_CHUNK = 8
_EVALUATION_BATCH = 64


def predict_logits(model: GenreCNN, levels: NDArray[np.uint8], *, precision: str = "float32") -> Tensor:
    """Return logits float32 (N, G) on the CPU for levels uint8 (N, M, T), without dropout."""
    device = next(model.parameters()).device
    model.eval()
    logits = []
    most = CPU_CHUNK if in_bfloat16(precision, device) else CPU_CHUNK // 2  # the same bytes
    with torch.inference_mode(), autocast(precision, device):
        for start in range(0, len(levels), _EVALUATION_BATCH):
            batch = torch.tensor(levels[start : start + _EVALUATION_BATCH], device=device)
            chunk = most if device.type == "cpu" else _EVALUATION_BATCH
            logits += [model(part).float().cpu() for part in batch.split(chunk)]
    return torch.cat(logits)
