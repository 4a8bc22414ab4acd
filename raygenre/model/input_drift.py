"""Whether the songs that come in still look like those that a network was trained on.

The mean level of a track in each of sixteen ranges of mel bands, lowest first, says how bright and how full it is
drawn. Training stores the deciles of each range over its tracks; the population stability index (PSI) of a range is
the sum over the ten bins between them of (p − q)·ln(p / q), p the share of recent songs in a bin and q the share of
training tracks. Below 0.1 it is customary to speak of no change, above 0.25 of a change that asks for a look.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

RANGES = 16  # of eight mel bands each
BINS = 10
RECENT = 1000  # songs that the index is about
FEWEST = 200  # songs; with fewer, chance alone makes an index of (BINS − 1) / songs, 0.05 and more


@dataclass(frozen=True)
class Reference:
    """The training tracks' distribution.

    Attributes:
        edges: float64 (16, 9), the mean levels between the bins of each range, ascending.
        shares: float64 (16, 10), the share of the training tracks in each bin.
    """

    edges: NDArray[np.float64]
    shares: NDArray[np.float64]

    @classmethod
    def of(cls, levels: NDArray[np.uint8]) -> Self:
        """Take the deciles of tracks, levels uint8 (N, 128, 333)."""
        means = mean_levels(levels)
        edges = np.quantile(means, np.arange(1, BINS) / BINS, axis=0).T
        return cls(edges, _shares(_counts(_bins(means, edges))))

    def to_json(self) -> dict[str, list[list[float]]]:
        return {"edges": self.edges.round(3).tolist(), "shares": self.shares.round(6).tolist()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read what `to_json` gave.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        edges, shares = (np.asarray(stored[key], dtype=np.float64) for key in ("edges", "shares"))
        if edges.shape != (RANGES, BINS - 1) or shares.shape != (RANGES, BINS) or not (shares > 0).all():
            raise ValueError(f"expected edges (16, 9) and positive shares (16, 10), not {edges.shape}, {shares.shape}")
        return cls(edges, shares)


class Drift:
    """The recent songs, beside the training tracks."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self._recent: deque[NDArray[np.int64]] = deque(maxlen=RECENT)
        self._counts = np.zeros((RANGES, BINS), dtype=np.int64)

    def add(self, levels: NDArray[np.uint8]) -> None:
        """Take in a song, levels uint8 (W, 128, 333), by the mean over its windows."""
        bins = _bins(mean_levels(levels).mean(axis=0, keepdims=True), self._reference.edges)  # (1, 16)
        if len(self._recent) == RECENT:
            self._counts -= _counts(self._recent[0])
        self._recent.append(bins)
        self._counts += _counts(bins)

    @property
    def index(self) -> NDArray[np.float64] | None:
        """PSI of each range, float64 (16,); None before `FEWEST` songs."""
        if len(self._recent) < FEWEST:
            return None
        now, then = _shares(self._counts), self._reference.shares
        return np.asarray(((now - then) * np.log(now / then)).sum(axis=1))


def mean_levels(levels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean level of each range: uint8 (N, 128, T) → float64 (N, 16)."""
    return np.asarray(levels.reshape(len(levels), RANGES, -1).mean(axis=2))


def _bins(means: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """(N, 16) → the bin of each, int64 (N, 16)."""
    return np.asarray((means[:, :, None] > edges).sum(axis=2))


def _counts(bins: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N, 16) → tracks in each bin, int64 (16, 10)."""
    return np.asarray((bins[:, :, None] == np.arange(BINS)).sum(axis=0))


def _shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Shares of counts, half a track more in each bin, so that an empty one has a logarithm."""
    return np.asarray((counts + 0.5) / (counts + 0.5).sum(axis=1, keepdims=True))
