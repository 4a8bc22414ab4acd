"""A classifier's self-check: example spectrograms with their expected probabilities.

The examples are stored with the weights, together with the probabilities that the network computed when it was saved. A
machine that computes different probabilities because of its device, a library or a damaged file must not serve these
weights. The example tracks are synthetic, so no real recording is distributed with a network.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from safetensors.torch import save as serialise

from raygenre import spectrogram
from raygenre.audio.synthesis import synthesise
from raygenre.errors import RaygenreError

TOLERANCE = 0.01  # largest permitted difference in a probability between machines or devices

_GENRES = ("bells", "chiptune", "drone", "storm")  # one synthetic track each


class SelfCheckError(RaygenreError, ValueError):
    """The probabilities differ from the stored values."""


@dataclass(frozen=True)
class SelfCheck:
    """Example inputs with their expected outputs.

    Attributes:
        levels: uint8 (N, 128, 333).
        probabilities: float32 (N, G).
    """

    levels: NDArray[np.uint8]
    probabilities: NDArray[np.float32]

    @classmethod
    def of(cls, probabilities: Callable[[NDArray[np.uint8]], NDArray[np.float32]]) -> Self:
        """Generate the example tracks and compute their probabilities."""
        sounds = [torch.from_numpy(synthesise(genre, seed=0)) for genre in _GENRES]
        levels = np.stack([spectrogram.levels(sound).numpy() for sound in sounds])
        return cls(levels, probabilities(levels))

    def verify(self, probabilities: Callable[[NDArray[np.uint8]], NDArray[np.float32]]) -> None:
        """Recompute the probabilities and compare them with the stored values.

        Raises:
            SelfCheckError: a probability differs by more than `TOLERANCE`, or the number of genres differs.
        """
        outputs = probabilities(self.levels)
        if outputs.shape != self.probabilities.shape:
            raise SelfCheckError("the stored examples belong to a different network: the number of genres differs")
        difference = float(np.abs(outputs - self.probabilities).max())
        if not difference <= TOLERANCE:  # also true for NaN
            raise SelfCheckError(
                f"probabilities of the stored examples differ by {difference:.3g}, more than {TOLERANCE}; the device, "
                "a library or a file is not the same as when the classifier was saved"
            )

    def save(self, path: Path) -> None:
        """Write a safetensors file.

        Raises:
            OSError: the file cannot be written.
        """
        tensors = {"levels": torch.from_numpy(self.levels), "probabilities": torch.from_numpy(self.probabilities)}
        path.write_bytes(serialise(tensors))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file written by `save`.

        Raises:
            OSError, KeyError, ValueError, SafetensorError: the file is missing or damaged, or its values are not levels
                and probabilities.
        """
        stored = load_file(path)
        levels, probabilities = stored["levels"].numpy(), stored["probabilities"].numpy()
        if levels.dtype != np.uint8 or levels.shape[1:] != (spectrogram.N_MELS, spectrogram.COLUMNS) or not len(levels):
            raise ValueError(f"examples must be uint8 (N, 128, 333), not {levels.dtype} {levels.shape}")
        if probabilities.ndim != 2 or not np.allclose(probabilities.sum(axis=1), 1, atol=TOLERANCE):  # also for NaN
            raise ValueError("the stored outputs of the examples are not probabilities that add up to 1")
        return cls(levels, probabilities)
