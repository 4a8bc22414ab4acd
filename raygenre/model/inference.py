"""Inference: compute logits, for training, evaluation and the endpoint."""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from raygenre.model.network import GenreCNN
from raygenre.model.networks import Network
from raygenre.model.precision import autocast

CPU_CHUNK = 4
"""Number of spectrograms that pass through a network together on a CPU. It is small enough that their activations fit
into the cache and into memory that the allocator reuses. Training sums the gradients of a batch's chunks, which results
in the same optimizer step as the whole batch would."""
_EVALUATION_BATCH = 64


def predict_logits(model: Network, inputs: NDArray[Any], *, precision: str = "float32") -> Tensor:
    """Return logits, float32 (N, G) on the CPU, for levels uint8 (N, M, T) or features float32 (N, F)."""
    device = next(model.parameters()).device
    model.eval()
    logits = []
    chunk = CPU_CHUNK if device.type == "cpu" and isinstance(model, GenreCNN) else _EVALUATION_BATCH
    with torch.inference_mode(), autocast(precision, device):
        for start in range(0, len(inputs), _EVALUATION_BATCH):
            batch = torch.tensor(inputs[start : start + _EVALUATION_BATCH], device=device)
            logits += [model(part).float().cpu() for part in batch.split(chunk)]
    return torch.cat(logits)
