"""Calibration: a temperature for the logits, and a threshold for uncertain predictions.

Networks of this kind are overconfident. Dividing the logits by a temperature corrects this on average without changing
any prediction (C. Guo et al., On Calibration of Modern Neural Networks, 2017). The temperature and the threshold are
fitted on tracks that the network was not trained on.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

TARGET_ACCURACY = 0.8  # for predictions that are not marked as uncertain
MIN_THRESHOLD = 0.5  # below it, the predicted genre is less probable than all others combined
MIN_CERTAIN = 10  # with fewer predictions above the threshold, their accuracy is not meaningful
TEMPERATURES = (0.1, 10.0)  # search range
VALID_TEMPERATURES = (1e-3, 1e3)  # beyond these, logits overflow or all genres become equally probable

_STEPS = 60  # bisections of the range, enough to exhaust float64's resolution


@dataclass(frozen=True)
class Calibration:
    """Parameters for converting logits to probabilities and for marking predictions as uncertain.

    Attributes:
        temperature: number by which the logits are divided.
        threshold: confidence below which a prediction is uncertain; 1 if the target accuracy cannot be reached.
    """

    temperature: float = 1.0
    threshold: float = MIN_THRESHOLD

    def __post_init__(self) -> None:
        _check_range("temperature", self.temperature, VALID_TEMPERATURES)
        _check_range("threshold", self.threshold, (0, 1))

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return calibrated probabilities (N, G) for logits (N, G)."""
        return (logits / self.temperature).softmax(dim=1)


@dataclass(frozen=True)
class Reliability:
    """Confidence and accuracy of predictions in equally wide confidence bins from 0 to 1.

    Attributes:
        counts: number of predictions in each bin.
        confidence: mean confidence of each bin's predictions; NaN in an empty bin.
        accuracy: accuracy of each bin's predictions; NaN in an empty bin.
    """

    counts: tuple[int, ...]
    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]

    @property
    def error(self) -> float:
        """The expected calibration error: the mean absolute difference between confidence and accuracy, with each bin
        weighted by its number of predictions (M. Pakdaman Naeini et al., 2015)."""
        bins = zip(self.counts, self.confidence, self.accuracy, strict=True)
        return sum(count * abs(mean - share) for count, mean, share in bins if count) / sum(self.counts)


def calibrate(logits: Tensor, labels: Tensor) -> Calibration:
    """Fit the temperature and the threshold on held-out tracks.

    The temperature minimises the cross-entropy with one additional correct and one additional wrong prediction (J.
    Platt, 1999). Without these two predictions, a network that makes no errors on a few tracks would become certain of
    every prediction. The threshold is the lowest confidence above which the accuracy reaches `TARGET_ACCURACY`, but at
    least `MIN_THRESHOLD`. It is `MIN_THRESHOLD` if all predictions together reach the target, and 1 if the target
    cannot be reached.

    Args:
        logits: float (N, G); a track may occur several times, with logits from different networks.
        labels: int64 (N,).

    Raises:
        ValueError: there are no tracks, or the numbers of labels and logits differ.
    """
    if len(logits) == 0 or len(logits) != len(labels):
        raise ValueError(f"expected as many labels as logits, and at least one, not {len(labels)} and {len(logits)}")
    temperature = _temperature(logits.double(), labels)
    confidence, predicted = Calibration(temperature).probabilities(logits.double()).max(dim=1)
    return Calibration(temperature, _threshold(confidence, predicted == labels))


def reliability(confidence: Tensor, correct: Tensor, *, bins: int = 10) -> Reliability:
    """Group predictions by confidence into bins of equal width.

    Args:
        confidence: float (N,), from 0 to 1.
        correct: bool (N,).
    """
    indices = (confidence * bins).long().clamp(max=bins - 1)
    counts = torch.bincount(indices, minlength=bins)
    sums = torch.zeros(2, bins, dtype=torch.float64)
    sums.index_add_(1, indices, torch.stack([confidence.double(), correct.double()]))
    means, accuracies = (sums / counts).tolist()
    return Reliability(tuple(counts.tolist()), tuple(means), tuple(accuracies))


def _check_range(name: str, value: object, limits: tuple[float, float]) -> None:
    """Check a value that may come from a file.

    Raises:
        ValueError: the value is not a number, or is outside the limits.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not limits[0] <= cast(float, value) <= limits[1]:  # NaN is outside
        raise ValueError(f"the {name} must be a number from {limits[0]:g} to {limits[1]:g}, not {value!r}")


def _temperature(logits: Tensor, labels: Tensor) -> float:
    """Return the temperature with the lowest cross-entropy, found by bisecting the slope.

    The cross-entropy is convex in 1 / temperature.
    """
    tracks, genres = logits.shape
    smoothing = genres / (genres - 1) / (tracks + 2) if genres > 1 else 0.0
    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    for _ in range(_STEPS):
        middle = torch.tensor((low + high) / 2, dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(F.cross_entropy(logits * middle, labels, label_smoothing=smoothing), middle)
        low, high = (low, middle.item()) if slope > 0 else (middle.item(), high)
    return 2 / (low + high)


def _threshold(confidence: Tensor, correct: Tensor) -> float:
    order = confidence.argsort(descending=True)
    accuracies = correct[order].double().cumsum(0) / torch.arange(1, len(order) + 1)
    accurate = torch.nonzero(accuracies >= TARGET_ACCURACY).flatten()
    if len(accurate) == 0 or accurate[-1] + 1 < min(MIN_CERTAIN, len(order)):
        return 1.0
    if accurate[-1] + 1 == len(order):
        return MIN_THRESHOLD
    return max(MIN_THRESHOLD, confidence[order[accurate[-1]]].item())
