"""How far a network's confidence can be believed: a temperature for its logits, and a threshold for its answers.

Networks of this kind are surer than they are right. Dividing the logits by one temperature mends that on average and
changes no answer (C. Guo et al., On Calibration of Modern Neural Networks, 2017). Both numbers are fitted on tracks
that the network was not trained on.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

TRUSTED = 0.8  # share of right answers among those that are not called uncertain
LEAST_THRESHOLD = 0.5  # below it, the other genres together outweigh the answer
FEWEST = 10  # answers above the threshold, for their share of right ones to mean anything
TEMPERATURES = (0.1, 10.0)  # the range that is looked through

_STEPS = 60  # halvings of the range of temperatures: far below float64's resolution


@dataclass(frozen=True)
class Calibration:
    """What turns logits into confidence, and confidence into a word.

    Attributes:
        temperature: that the logits are divided by.
        threshold: confidence below which an answer is uncertain; 1 if the network cannot be trusted at all.
    """

    temperature: float = 1.0
    threshold: float = LEAST_THRESHOLD

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"temperature must be positive and finite, not {self.temperature}")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold must be from 0 to 1, not {self.threshold}")

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return probabilities (N, G) of logits (N, G)."""
        return (logits / self.temperature).softmax(dim=1)


@dataclass(frozen=True)
class Reliability:
    """Confidence beside the share of right answers, over bins of equal width from 0 to 1.

    Attributes:
        answers: number of answers in each bin.
        confidence: their mean confidence; NaN in an empty bin.
        right: share of right ones among them; NaN in an empty bin.
    """

    answers: tuple[int, ...]
    confidence: tuple[float, ...]
    right: tuple[float, ...]

    @property
    def error(self) -> float:
        """The expected calibration error: the mean distance of confidence and share of right answers, each bin
        weighted by its number of answers (M. Pakdaman Naeini et al., 2015)."""
        bins = zip(self.answers, self.confidence, self.right, strict=True)
        return sum(answers * abs(mean - share) for answers, mean, share in bins if answers) / sum(self.answers)


def calibrate(logits: Tensor, labels: Tensor) -> Calibration:
    """Fit the temperature and the threshold on held-out tracks.

    The temperature is that of the lowest cross-entropy, as if one more track had been answered wrongly and one more
    rightly (J. Platt, 1999): a network without a mistake on few tracks is not made sure of everything. The threshold
    is the lowest confidence above which `TRUSTED` of the answers are right: `LEAST_THRESHOLD` at least, which is also
    enough if that many of all answers are right, and 1 if there is none.

    Args:
        logits: float (N, G); N may count a track more than once, as different networks see it.
        labels: int64 (N,).

    Raises:
        ValueError: there are no tracks, or as many labels as logits are not given.
    """
    if len(logits) == 0 or len(logits) != len(labels):
        raise ValueError(f"expected as many labels as rows of logits, and some, not {len(labels)} and {len(logits)}")
    temperature = _temperature(logits.double(), labels)
    confidence, answers = Calibration(temperature).probabilities(logits.double()).max(dim=1)
    return Calibration(temperature, _threshold(confidence, answers == labels))


def reliability(confidence: Tensor, right: Tensor, *, bins: int = 10) -> Reliability:
    """Sort answers by confidence into bins of equal width.

    Args:
        confidence: float (N,), from 0 to 1.
        right: bool (N,).
    """
    place = (confidence * bins).long().clamp(max=bins - 1)
    answers = torch.bincount(place, minlength=bins)
    sums = torch.zeros(2, bins, dtype=torch.float64)
    sums.index_add_(1, place, torch.stack([confidence.double(), right.double()]))
    means, shares = (sums / answers).tolist()
    return Reliability(tuple(answers.tolist()), tuple(means), tuple(shares))


def _temperature(logits: Tensor, labels: Tensor) -> float:
    """Bisect the slope of the cross-entropy, which is convex in the temperature's reciprocal."""
    tracks, genres = logits.shape
    smoothing = genres / (genres - 1) / (tracks + 2) if genres > 1 else 0.0
    low, high = 1 / TEMPERATURES[1], 1 / TEMPERATURES[0]
    for _ in range(_STEPS):
        middle = torch.tensor((low + high) / 2, dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(F.cross_entropy(logits * middle, labels, label_smoothing=smoothing), middle)
        low, high = (low, middle.item()) if slope > 0 else (middle.item(), high)
    return 2 / (low + high)


def _threshold(confidence: Tensor, right: Tensor) -> float:
    order = confidence.argsort(descending=True)
    shares = right[order].double().cumsum(0) / torch.arange(1, len(order) + 1)
    trusted = torch.nonzero(shares >= TRUSTED).flatten()
    if len(trusted) == 0 or trusted[-1] + 1 < min(FEWEST, len(order)):
        return 1.0
    if trusted[-1] + 1 == len(order):
        return LEAST_THRESHOLD
    return max(LEAST_THRESHOLD, confidence[order[trusted[-1]]].item())
