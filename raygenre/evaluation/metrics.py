"""Metrics of a classifier: accuracy, recall, precision, F1, confusion, calibration error.

Conventions: a confusion matrix has a row for each true genre and a column for each predicted genre. Intervals are 95 %
Wilson intervals. A share of zero tracks is NaN.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from raygenre.evaluation.interval import wilson_interval as wilson_interval
from raygenre.model.calibration import Reliability, reliability
from raygenre.model.classifier import Classifier


@dataclass(frozen=True)
class GenreScore:
    """Scores of one genre.

    Attributes:
        tracks: number of tracks of this genre.
        named: number of tracks that are predicted to be of this genre.
        precision: share of these predictions that are correct.
        recall: share of the genre's tracks that are classified correctly.
        f1: harmonic mean of precision and recall; NaN if the genre has no tracks and no predictions.
    """

    genre: str
    tracks: int
    named: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Evaluation:
    """A classifier's predictions for a set of tracks, and the metrics computed from them.

    Attributes:
        genres: names of the G classes.
        labels: int64 (N,), index of each track's true genre.
        probabilities: float32 (N, G), the classifier's predictions.
        threshold: confidence below which a prediction is called uncertain.
    """

    genres: tuple[str, ...]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    threshold: float

    @property
    def predicted(self) -> NDArray[np.int64]:
        """int64 (N,), index of each track's predicted genre."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """bool (N,), whether the predicted genre is the true genre."""
        return np.asarray(self.predicted == self.labels)

    @property
    def certain(self) -> NDArray[np.bool_]:
        """bool (N,), whether the confidence reaches the threshold."""
        return np.asarray(self.probabilities.max(axis=1) >= self.threshold)

    @property
    def confusion(self) -> NDArray[np.int64]:
        """int64 (G, G), number of tracks by true genre (row) and predicted genre (column)."""
        return confusion_matrix(self.labels, self.predicted, len(self.genres))

    @property
    def tracks(self) -> int:
        return len(self.labels)

    @property
    def hits(self) -> int:
        """The number of correct predictions."""
        return int(self.correct.sum())

    @property
    def accuracy(self) -> float:
        return self.hits / self.tracks

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy."""
        return wilson_interval(self.hits, self.tracks)

    @property
    def certain_accuracy(self) -> float:
        """Accuracy of the certain predictions; NaN if no prediction is certain."""
        return float(self.correct[self.certain].mean()) if self.certain.any() else math.nan

    @property
    def reliability(self) -> Reliability:
        """Confidence and accuracy of the predictions in each of ten confidence bins."""
        return reliability(torch.from_numpy(self.probabilities.max(axis=1)), torch.from_numpy(self.correct))

    @property
    def calibration_error(self) -> float:
        """Expected calibration error; see `calibration.Reliability.error`."""
        return self.reliability.error

    @property
    def scores(self) -> tuple[GenreScore, ...]:
        """Precision, recall and F1 of each genre."""
        confusion = self.confusion
        counts = zip(self.genres, confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0), strict=True)
        return tuple(
            GenreScore(
                genre,
                int(tracks),
                int(named),
                precision=_share(hits, named),
                recall=_share(hits, tracks),
                f1=_share(2 * hits, tracks + named),
            )
            for genre, hits, tracks, named in counts
        )

    @property
    def recall(self) -> dict[str, float]:
        """Recall by genre."""
        return {score.genre: score.recall for score in self.scores}

    @property
    def macro_f1(self) -> float:
        """Unweighted mean of the genres' F1 scores, excluding genres that have no tracks and no predictions."""
        return float(np.nanmean([score.f1 for score in self.scores]))

    @property
    def mistakes(self) -> NDArray[np.int64]:
        """int64 (number of mistakes,), indices of the wrong predictions, most confident first."""
        wrong = np.flatnonzero(~self.correct)
        order = np.argsort(-self.probabilities.max(axis=1)[wrong], kind="stable")
        return np.asarray(wrong[order], dtype=np.int64)

    def subset(self, mask: NDArray[np.bool_]) -> Self:
        """Return the evaluation of only those tracks for which `mask`, bool (N,), is true.

        Raises:
            ValueError: the mask selects no track.
        """
        if not mask.any():
            raise ValueError("a subset of an evaluation needs at least one track")
        return replace(self, labels=self.labels[mask], probabilities=self.probabilities[mask])

    def metrics(self, prefix: str = "") -> dict[str, float]:
        """Return the metrics by MLflow name, excluding NaN values."""
        low, high = self.interval
        metrics = {
            "accuracy": self.accuracy,
            "accuracy_low": low,
            "accuracy_high": high,
            "macro_f1": self.macro_f1,
            "certain_share": float(self.certain.mean()),
            "certain_accuracy": self.certain_accuracy,
            "calibration_error": self.calibration_error,
        }
        return {f"{prefix}{name}": value for name, value in metrics.items() if not math.isnan(value)}


def evaluate_inputs(classifier: Classifier, inputs: NDArray[Any], labels: NDArray[np.int64]) -> Evaluation:
    """Classify inputs of the classifier's kind, (N, *shape), and compare the predictions with labels, int64 (N,).

    Raises:
        ValueError: there are no tracks.
    """
    if len(labels) == 0:
        raise ValueError("an evaluation needs at least one track")
    return Evaluation(classifier.genres, labels, classifier.probabilities(inputs), classifier.calibration.threshold)


def confusion_matrix(
    labels: Sequence[int] | NDArray[np.int64], predicted: Sequence[int] | NDArray[np.int64], genres: int
) -> NDArray[np.int64]:
    """Return the counts, int64 (genres, genres), by true label (row) and predicted label (column)."""
    matrix = np.zeros((genres, genres), dtype=np.int64)
    np.add.at(matrix, (np.asarray(labels), np.asarray(predicted)), 1)
    return matrix


def _share(part: int, whole: int) -> float:
    return float(part / whole) if whole else math.nan
