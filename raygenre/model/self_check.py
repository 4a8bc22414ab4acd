"""A classifier's self-check: example inputs with their expected probabilities.

The examples are stored with the weights, together with the probabilities that the network computed when it was saved. A
machine that computes different probabilities because of its device, a library or a damaged file must not serve these
weights. The example tracks are synthetic, so no real recording is distributed with a network. If another network
computes the classifier's input, the check also recomputes the first example's input.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from safetensors.torch import save as serialise

from raygenre import audio
from raygenre.audio.synthesis import synthesise
from raygenre.errors import RaygenreError
from raygenre.inputs.kind import InputKind
from raygenre.inputs.levels import LEVELS

TOLERANCE = 0.01  # largest permitted difference in a probability between machines or devices

_GENRES = ("bells", "chiptune", "drone", "storm")  # one synthetic track of each
_LEVELS, _INPUTS = "levels", "inputs"  # names of the stored inputs; levels keep the name from earlier releases


class SelfCheckError(RaygenreError, ValueError):
    """The probabilities differ from the stored values."""


@dataclass(frozen=True)
class SelfCheck:
    """Example inputs with their expected outputs.

    Attributes:
        inputs: (N, *shape), of the classifier's kind.
        probabilities: float32 (N, G).
    """

    inputs: NDArray[Any]
    probabilities: NDArray[np.float32]

    @classmethod
    def of(cls, probabilities: Callable[[NDArray[Any]], NDArray[np.float32]], kind: InputKind) -> Self:
        """Generate the example tracks and compute their probabilities."""
        inputs = np.concatenate([kind.from_blocks([_samples(genre, kind)]).windows for genre in _GENRES])
        return cls(inputs, probabilities(inputs))

    def verify(self, probabilities: Callable[[NDArray[Any]], NDArray[np.float32]], kind: InputKind) -> None:
        """Recompute the probabilities and compare them with the stored values.

        Raises:
            SelfCheckError: a probability differs by more than `TOLERANCE`, or the number of genres differs.
        """
        inputs = self.inputs
        if kind.weights_sha256:
            first = kind.from_blocks([_samples(_GENRES[0], kind)]).windows
            inputs = np.concatenate([first, inputs[len(first) :]])
        outputs = probabilities(inputs)
        if outputs.shape != self.probabilities.shape:
            raise SelfCheckError("the stored examples belong to a different network: the number of genres differs")
        difference = float(np.abs(outputs - self.probabilities).max())
        if not difference <= TOLERANCE:  # also true for NaN
            raise SelfCheckError(
                f"probabilities of the stored examples differ by {difference:.3g}, more than {TOLERANCE}; the device, "
                "a library or a file has changed since the classifier was saved"
            )

    def save(self, path: Path) -> None:
        """Write a safetensors file.

        Raises:
            OSError: the file cannot be written.
        """
        name = _LEVELS if self.inputs.dtype == np.uint8 else _INPUTS
        tensors = {name: torch.from_numpy(self.inputs), "probabilities": torch.from_numpy(self.probabilities)}
        path.write_bytes(serialise(tensors))

    @classmethod
    def load(cls, path: Path, kind: InputKind = LEVELS) -> Self:
        """Read a file written by `save`.

        Raises:
            OSError, KeyError, ValueError, SafetensorError: the file is missing or damaged, or its values are not
                probabilities and inputs of this kind.
        """
        stored = load_file(path)
        inputs = stored[_LEVELS if kind is LEVELS else _INPUTS].numpy()
        probabilities = stored["probabilities"].numpy()
        if inputs.dtype != kind.dtype or inputs.shape[1:] != kind.shape or not len(inputs):
            shape = ", ".join(map(str, kind.shape))
            raise ValueError(f"examples must be {kind.dtype} (N, {shape}), not {inputs.dtype} {inputs.shape}")
        if probabilities.ndim != 2 or not np.allclose(probabilities.sum(axis=1), 1, atol=TOLERANCE):  # also for NaN
            raise ValueError("the stored outputs of the examples are not probabilities that add up to 1")
        return cls(inputs, probabilities)


def _samples(genre: str, kind: InputKind) -> NDArray[np.float32]:
    """Return the samples of an example track at the rate that a kind of input needs."""
    samples = synthesise(genre, seed=0)
    if kind.sample_rate == audio.SAMPLE_RATE:
        return samples
    return np.ascontiguousarray(soxr.resample(samples, audio.SAMPLE_RATE, kind.sample_rate), dtype=np.float32)
