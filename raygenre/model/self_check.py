"""Spectrograms with the answers that a network gave to them where it was saved.

They are stored beside the weights. A machine that answers otherwise cannot be trusted with those weights, whatever
the reason: another device, a broken library, a file that is not what it says. The tracks are synthetic, so that no
recording travels with a network.
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

TOLERANCE = 0.01  # of a probability, between two machines or devices

_GENRES = ("bells", "chiptune", "drone", "storm")  # one synthetic track each


class SelfCheckError(RaygenreError, ValueError):
    """The answers here are not those that were stored."""


@dataclass(frozen=True)
class SelfCheck:
    """Inputs and the answers to them.

    Attributes:
        levels: uint8 (N, 128, 333).
        probabilities: float32 (N, G).
    """

    levels: NDArray[np.uint8]
    probabilities: NDArray[np.float32]

    @classmethod
    def of(cls, probabilities: Callable[[NDArray[np.uint8]], NDArray[np.float32]]) -> Self:
        """Draw the tracks and have them answered."""
        sounds = [torch.from_numpy(synthesise(genre, seed=0)) for genre in _GENRES]
        levels = np.stack([spectrogram.levels(sound).numpy() for sound in sounds])
        return cls(levels, probabilities(levels))

    def check(self, probabilities: Callable[[NDArray[np.uint8]], NDArray[np.float32]]) -> None:
        """Have the tracks answered again, and compare.

        Raises:
            SelfCheckError: an answer differs by more than `TOLERANCE`, or is one about other genres.
        """
        answers = probabilities(self.levels)
        if answers.shape != self.probabilities.shape:
            raise SelfCheckError("the stored examples were answered by another network")
        difference = float(np.abs(answers - self.probabilities).max())
        if not difference <= TOLERANCE:  # not for NaN either
            raise SelfCheckError(f"the answers to the stored examples differ by {difference:.3g}, over {TOLERANCE}")

    def save(self, path: Path) -> None:
        """Write one safetensors file.

        Raises:
            OSError: it cannot be written.
        """
        tensors = {"levels": torch.from_numpy(self.levels), "probabilities": torch.from_numpy(self.probabilities)}
        path.write_bytes(serialise(tensors))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            OSError, KeyError, ValueError, SafetensorError: the file is missing or damaged.
        """
        stored = load_file(path)
        levels, probabilities = stored["levels"].numpy(), stored["probabilities"].numpy()
        if levels.dtype != np.uint8 or levels.shape[1:] != (spectrogram.N_MELS, spectrogram.COLUMNS) or not len(levels):
            raise ValueError(f"examples must be uint8 (N, 128, 333), not {levels.dtype} {levels.shape}")
        return cls(levels, probabilities)
