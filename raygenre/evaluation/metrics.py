"""How good a classifier is on tracks it has not seen.

Conventions: a confusion matrix has a row for each true genre and a column for each predicted one. Intervals are
Wilson's, at 95 %. A share of nothing is NaN.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from raygenre.model.calibration import Reliability, reliability
from raygenre.model.classifier import Classifier

_Z = 1.959964  # two-sided 95 % of the normal distribution


@dataclass(frozen=True)
class GenreScore:
    """How well one genre is recognised.

    Attributes:
        tracks: of this genre.
        named: answers that named this genre.
        precision: share of right ones among these answers.
        recall: share of the genre's tracks that were recognised.
        f1: harmonic mean of the two; NaN if the genre has no tracks and no answers.
    """

    genre: str
    tracks: int
    named: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Evaluation:
    """Outcome on a set of tracks.

    Attributes:
        genres: names of the classes.
        labels: int64 (N,), the true genre of each track.
        probabilities: float32 (N, G), the classifier's answers in the same order.
        threshold: confidence below which the classifier calls an answer uncertain.
    """

    genres: tuple[str, ...]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    threshold: float

    @property
    def predicted(self) -> NDArray[np.int64]:
        """int64 (N,), the genre that was named."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    @property
    def right(self) -> NDArray[np.bool_]:
        """bool (N,), whether it is the true one."""
        return np.asarray(self.predicted == self.labels)

    @property
    def certain(self) -> NDArray[np.bool_]:
        """bool (N,), whether the classifier trusts its answer."""
        return np.asarray(self.probabilities.max(axis=1) >= self.threshold)

    @property
    def confusion(self) -> NDArray[np.int64]:
        """int64 (G, G), tracks by true genre (row) and predicted genre (column)."""
        return confusion_matrix(self.labels, self.predicted, len(self.genres))

    @property
    def tracks(self) -> int:
        return len(self.labels)

    @property
    def hits(self) -> int:
        return int(self.right.sum())

    @property
    def accuracy(self) -> float:
        return self.hits / self.tracks

    @property
    def interval(self) -> tuple[float, float]:
        """The accuracy's 95 % interval."""
        return wilson_interval(self.hits, self.tracks)

    @property
    def certain_accuracy(self) -> float:
        """Share of right answers among the certain ones; NaN if there are none."""
        return float(self.right[self.certain].mean()) if self.certain.any() else math.nan

    @property
    def reliability(self) -> Reliability:
        """Confidence beside the share of right answers, in ten bins."""
        return reliability(torch.from_numpy(self.probabilities.max(axis=1)), torch.from_numpy(self.right))

    @property
    def calibration_error(self) -> float:
        """Mean distance of confidence and share of right answers, see `calibration.Reliability.error`."""
        return self.reliability.error

    @property
    def scores(self) -> tuple[GenreScore, ...]:
        """Precision and recall of each genre."""
        confusion = self.confusion
        found = zip(self.genres, confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0), strict=True)
        return tuple(
            GenreScore(
                genre,
                int(tracks),
                int(named),
                precision=_share(hits, named),
                recall=_share(hits, tracks),
                f1=_share(2 * hits, tracks + named),
            )
            for genre, hits, tracks, named in found
        )

    @property
    def recall(self) -> dict[str, float]:
        """Share of each genre's tracks that were recognised."""
        return {score.genre: score.recall for score in self.scores}

    @property
    def macro_f1(self) -> float:
        """Mean of the genres' F1, each genre with tracks or answers counting once."""
        return float(np.nanmean([score.f1 for score in self.scores]))

    @property
    def mistakes(self) -> NDArray[np.int64]:
        """int64, places of the wrong answers, the most confident first."""
        wrong = np.flatnonzero(~self.right)
        order = np.argsort(-self.probabilities.max(axis=1)[wrong], kind="stable")
        return np.asarray(wrong[order], dtype=np.int64)

    def part(self, mask: NDArray[np.bool_]) -> Self:
        """Return the same of some tracks alone, those where mask, bool (N,), is true.

        Raises:
            ValueError: it is true nowhere.
        """
        if not mask.any():
            raise ValueError("a part of an evaluation needs at least one track")
        return replace(self, labels=self.labels[mask], probabilities=self.probabilities[mask])

    def numbers(self, prefix: str = "") -> dict[str, float]:
        """Return what is compared between evaluations, by its name in MLflow; nothing that is NaN."""
        low, high = self.interval
        numbers = {
            "accuracy": self.accuracy,
            "accuracy_low": low,
            "accuracy_high": high,
            "macro_f1": self.macro_f1,
            "certain_share": float(self.certain.mean()),
            "certain_accuracy": self.certain_accuracy,
            "calibration_error": self.calibration_error,
        }
        return {f"{prefix}{name}": value for name, value in numbers.items() if not math.isnan(value)}


def evaluate(classifier: Classifier, levels: NDArray[np.uint8], labels: NDArray[np.int64]) -> Evaluation:
    """Classify tracks, levels uint8 (N, 128, 333), and compare with their labels int64 (N,).

    Raises:
        ValueError: there are no tracks.
    """
    if len(labels) == 0:
        raise ValueError("an evaluation needs at least one track")
    return Evaluation(classifier.genres, labels, classifier.probabilities(levels), classifier.calibration.threshold)


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


def _share(part: int, whole: int) -> float:
    return float(part / whole) if whole else math.nan
