"""How good a classifier is on tracks it has not seen.

Conventions: a confusion matrix has a row for each true genre and a column for each predicted one. Intervals are
Wilson's, at 95 %.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raygenre.classifier import Classifier

_Z = 1.959964  # two-sided 95 % of the normal distribution


@dataclass(frozen=True)
class Evaluation:
    """Outcome on a set of tracks.

    Attributes:
        genres: names of the classes.
        confusion: int64 (G, G), tracks by true genre (row) and predicted genre (column).
        predicted: int64 (N,), the predicted label of each track, in the order that was given.
    """

    genres: tuple[str, ...]
    confusion: NDArray[np.int64]
    predicted: NDArray[np.int64]

    @property
    def tracks(self) -> int:
        return int(self.confusion.sum())

    @property
    def hits(self) -> int:
        return int(np.trace(self.confusion))

    @property
    def accuracy(self) -> float:
        return self.hits / self.tracks

    @property
    def interval(self) -> tuple[float, float]:
        """The accuracy's 95 % interval."""
        return wilson_interval(self.hits, self.tracks)

    @property
    def recall(self) -> dict[str, float]:
        """Share of each genre's tracks that were recognised; NaN for a genre without tracks."""
        rows = self.confusion.sum(axis=1)
        return {
            genre: float(self.confusion[i, i] / rows[i]) if rows[i] else math.nan for i, genre in enumerate(self.genres)
        }


def evaluate(classifier: Classifier, levels: NDArray[np.uint8], labels: NDArray[np.int64]) -> Evaluation:
    """Classify tracks, levels uint8 (N, 128, 333), and compare with their labels int64 (N,).

    Raises:
        ValueError: there are no tracks.
    """
    if len(labels) == 0:
        raise ValueError("an evaluation needs at least one track")
    predicted = classifier.probabilities(levels).argmax(axis=1).astype(np.int64)
    return Evaluation(classifier.genres, confusion_matrix(labels, predicted, len(classifier.genres)), predicted)


def confusion_matrix(
    labels: Sequence[int] | NDArray[np.int64], predicted: Sequence[int] | NDArray[np.int64], genres: int
) -> NDArray[np.int64]:
    """Return counts (genres, genres) by true label (row) and predicted label (column)."""
    matrix = np.zeros((genres, genres), dtype=np.int64)
    np.add.at(matrix, (np.asarray(labels), np.asarray(predicted)), 1)
    return matrix


def wilson_interval(hits: int, tracks: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, after E. B. Wilson (1927); it stays within 0 and 1 and is never empty.

    Raises:
        ValueError: not 0 ≤ hits ≤ tracks, or no tracks.
    """
    if not 0 <= hits <= tracks or tracks == 0:
        raise ValueError(f"expected 0 ≤ hits ≤ tracks and tracks > 0, not {hits} of {tracks}")
    share, z2 = hits / tracks, _Z**2
    centre = (share + z2 / (2 * tracks)) / (1 + z2 / tracks)
    half = _Z * math.sqrt(share * (1 - share) / tracks + z2 / (4 * tracks**2)) / (1 + z2 / tracks)
    return max(0.0, centre - half), min(1.0, centre + half)
