"""Input drift: measure how much recent songs differ from a network's training tracks.

A track is summarised by sixteen numbers (see `InputKind.summaries`): for levels, the mean level in each of sixteen
ranges of mel bands, lowest first. Training stores the deciles of each number over all training tracks. The population
stability index (PSI) of a range is the sum of (p − q)·ln(p / q) over the ten bins between the deciles, where p is the
share of recent songs in a bin and q the share of training tracks. By convention, a PSI below 0.1 means no change, and a
PSI above 0.25 means a change that should be investigated.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from raygenre.inputs.kind import RANGES

BINS = 10
RECENT_SONGS = 1000  # the index is computed from at most this many of the most recent songs
MIN_SONGS = 200  # with fewer songs, chance alone causes an index of (BINS − 1) / songs, which is about 0.05 or more


@dataclass(frozen=True)
class Reference:
    """The distribution of the training tracks' summaries.

    Attributes:
        edges: float64 (16, 9), the values that separate the bins of each range, ascending.
        shares: float64 (16, 10), the share of training tracks in each bin.
    """

    edges: NDArray[np.float64]
    shares: NDArray[np.float64]

    @classmethod
    def of(cls, summaries: NDArray[np.float64]) -> Self:
        """Compute the deciles from the summaries of tracks, float64 (N, 16)."""
        edges = np.quantile(summaries, np.arange(1, BINS) / BINS, axis=0).T
        return cls(edges, _shares(_counts(_bins(summaries, edges))))

    def to_json(self) -> dict[str, list[list[float]]]:
        return {"edges": self.edges.round(3).tolist(), "shares": self.shares.round(6).tolist()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Restore a reference from the result of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: `stored` is malformed.
        """
        edges, shares = (np.asarray(stored[key], dtype=np.float64) for key in ("edges", "shares"))
        if edges.shape != (RANGES, BINS - 1) or shares.shape != (RANGES, BINS) or not (shares > 0).all():
            raise ValueError(f"expected edges (16, 9) and positive shares (16, 10), not {edges.shape}, {shares.shape}")
        return cls(edges, shares)


class Drift:
    """Compares recent songs with the training tracks."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self._recent: deque[NDArray[np.int64]] = deque(maxlen=RECENT_SONGS)
        self._counts = np.zeros((RANGES, BINS), dtype=np.int64)

    def add(self, summaries: NDArray[np.float64]) -> None:
        """Add a song, represented by the mean of its windows' summaries, float64 (W, 16)."""
        bins = _bins(summaries.mean(axis=0, keepdims=True), self._reference.edges)  # (1, 16)
        if len(self._recent) == RECENT_SONGS:
            self._counts -= _counts(self._recent[0])
        self._recent.append(bins)
        self._counts += _counts(bins)

    @property
    def index(self) -> NDArray[np.float64] | None:
        """The PSI of each range, float64 (16,); None until `MIN_SONGS` songs have been added."""
        if len(self._recent) < MIN_SONGS:
            return None
        recent, training = _shares(self._counts), self._reference.shares
        return np.asarray(((recent - training) * np.log(recent / training)).sum(axis=1))


def _bins(means: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the bin that contains each mean: (N, 16) → int64 (N, 16)."""
    return np.asarray((means[:, :, None] > edges).sum(axis=2))


def _counts(bins: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of tracks in each bin: (N, 16) → int64 (16, 10)."""
    return np.asarray((bins[:, :, None] == np.arange(BINS)).sum(axis=0))


def _shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the share of tracks in each bin; half a track is added to each bin to keep all logarithms finite."""
    return np.asarray((counts + 0.5) / (counts + 0.5).sum(axis=1, keepdims=True))
