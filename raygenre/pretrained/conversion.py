"""Convert MSD_musicnn's TensorFlow variables to the state of `MusicNetwork`."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raygenre.pretrained.network import TEMPORAL_FRAMES, TIMBRAL_BANDS, Dimensions, MusicNetwork
from raygenre.pretrained.tensorflow_checkpoint import CheckpointError

_NORMALISATION = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
_FRONT = len(TIMBRAL_BANDS) + len(TEMPORAL_FRAMES)
_MIDDLE = 3

# TensorFlow numbers the layers of each kind in order of creation, except the first layer, which has no number.
_CONVOLUTIONS = [*(f"front.{number}" for number in range(_FRONT)), *(f"middle.{number}" for number in range(_MIDDLE))]
_NORMALISATIONS = ["input", *(f"{name}.normalisation" for name in _CONVOLUTIONS), "pooled", "normalisation"]
_DENSE = ["dense", "tags"]


def network_from(variables: Mapping[str, NDArray[np.float32]]) -> MusicNetwork:
    """Return the network with the weights of a checkpoint.

    Raises:
        CheckpointError: a variable is missing, or its shape does not fit the network.
    """
    try:
        state = _state(variables)
        network = MusicNetwork(
            Dimensions(
                timbral=len(state["front.0.convolution.weight"]),
                temporal=len(state[f"front.{len(TIMBRAL_BANDS)}.convolution.weight"]),
                middle=len(state["middle.0.convolution.weight"]),
                units=len(state["dense.weight"]),
                tags=len(state["tags.weight"]),
            )
        )
        network.load_state_dict(state)
    except KeyError as error:
        raise CheckpointError(
            f"the checkpoint has no variable {error}, so it is not a checkpoint of MSD_musicnn"
        ) from error
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(f"the checkpoint does not fit MSD_musicnn: {error}") from error
    return network


def _state(variables: Mapping[str, NDArray[np.float32]]) -> dict[str, Tensor]:
    state = {}
    for number, name in enumerate(_CONVOLUTIONS):
        kernels = torch.tensor(variables[_numbered("conv2d", number, "kernel")])  # (H, W, C in, C out)
        in_front = number < _FRONT
        # The middle convolutions run over time only; their input channels are on the second axis.
        kernels = kernels.permute(3, 2, 0, 1) if in_front else kernels[:, :, 0].permute(2, 1, 0)
        state[f"{name}.convolution.weight"] = kernels.contiguous()
        state[f"{name}.convolution.bias"] = torch.tensor(variables[_numbered("conv2d", number, "bias")])
    for number, name in enumerate(_NORMALISATIONS):
        for ours, theirs in _NORMALISATION.items():
            state[f"{name}.{ours}"] = torch.tensor(variables[_numbered("batch_normalization", number, theirs)])
    for number, name in enumerate(_DENSE):
        state[f"{name}.weight"] = torch.tensor(variables[_numbered("dense", number, "kernel")].T.copy())
        state[f"{name}.bias"] = torch.tensor(variables[_numbered("dense", number, "bias")])
    return state


def _numbered(kind: str, number: int, variable: str) -> str:
    return f"{kind}_{number}/{variable}" if number else f"{kind}/{variable}"
