"""The prediction for one song, made locally or by an endpoint. Imports no large library."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Prediction:
    """The prediction for one song.

    Attributes:
        genre: the most probable genre.
        confidence: the probability of that genre.
        uncertain: whether the confidence is below the classifier's threshold.
        probabilities: probability of each genre, averaged over the windows; they add up to 1.
        windows: each window's probabilities, in the order of `Song.times`.
    """

    genre: str
    confidence: float
    uncertain: bool
    probabilities: Mapping[str, float]
    windows: tuple[Mapping[str, float], ...]
