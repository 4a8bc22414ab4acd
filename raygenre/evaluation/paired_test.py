"""A paired test: is one classifier better than another on the same tracks, beyond chance?

The test distinguishes four kinds of tracks: those classified correctly by both, only by the candidate, only by the
incumbent, and by neither. The first and the last kind do not show which classifier is better, so the test uses only the
other two. A difference is the candidate's accuracy minus the incumbent's.
"""

from dataclasses import dataclass
from functools import cached_property
from math import comb

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
_SEED = 0  # fixed, so equal counts always yield equal intervals


@dataclass(frozen=True)
class PairedTest:
    """The number of tracks of each kind, and the statistics computed from these numbers.

    Attributes:
        both: number of tracks that both classify correctly.
        only_candidate: number of tracks that only the candidate classifies correctly.
        only_incumbent: number of tracks that only the incumbent classifies correctly.
        neither: number of tracks that neither classifies correctly.
    """

    both: int
    only_candidate: int
    only_incumbent: int
    neither: int

    def __post_init__(self) -> None:
        if min(self.both, self.only_candidate, self.only_incumbent, self.neither) < 0 or self.tracks == 0:
            raise ValueError(f"expected counts of at least one track, not {self}")

    @classmethod
    def of(cls, candidate: NDArray[np.bool_], incumbent: NDArray[np.bool_]) -> "PairedTest":
        """Count the tracks of each kind.

        Args:
            candidate, incumbent: bool (N,), whether each classifier is correct on each track.

        Raises:
            ValueError: the two arrays differ in length, or are empty.
        """
        if candidate.shape != incumbent.shape:
            raise ValueError(f"{len(candidate)} predictions cannot be compared with {len(incumbent)}")
        kinds = np.bincount(2 * candidate.astype(int) + incumbent, minlength=4).tolist()
        neither, only_incumbent, only_candidate, both = kinds
        return cls(both, only_candidate, only_incumbent, neither)

    @property
    def tracks(self) -> int:
        return self.both + self.only_candidate + self.only_incumbent + self.neither

    @property
    def candidate_accuracy(self) -> float:
        return (self.both + self.only_candidate) / self.tracks

    @property
    def incumbent_accuracy(self) -> float:
        return (self.both + self.only_incumbent) / self.tracks

    @property
    def difference(self) -> float:
        """The candidate's accuracy minus the incumbent's."""
        return (self.only_candidate - self.only_incumbent) / self.tracks

    @property
    def p_value(self) -> float:
        """The one-sided p-value of the exact test of Q. McNemar (1947).

        If the two classifiers are equally good, a track that only one of them classifies correctly is equally likely to
        be classified correctly by the candidate or by the incumbent. The p-value is the probability, under this
        assumption, that the candidate is correct on at least as many of these tracks as observed.
        """
        return _tail(self.only_candidate, self.only_candidate + self.only_incumbent)

    @property
    def two_sided_p_value(self) -> float:
        """The two-sided p-value: twice the smaller of the two one-sided p-values, at most 1."""
        discordant = self.only_candidate + self.only_incumbent
        return min(1.0, 2 * min(_tail(self.only_candidate, discordant), _tail(self.only_incumbent, discordant)))

    @cached_property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the difference, from a paired bootstrap over tracks.

        Only the kinds of the resampled tracks matter, so each resample is one multinomial draw.
        """
        shares = np.array([self.only_candidate, self.only_incumbent, self.both + self.neither]) / self.tracks
        drawn = np.random.default_rng(_SEED).multinomial(self.tracks, shares, size=RESAMPLES)  # (RESAMPLES, 3)
        low, high = np.percentile((drawn[:, 0] - drawn[:, 1]) / self.tracks, [2.5, 97.5])
        return float(low), float(high)


def difference_text(test: PairedTest, first: str, second: str) -> str:
    """Return a clause with both accuracies and their difference; `first` names the candidate."""
    low, high = test.interval
    return (
        f"{first} is correct on {test.candidate_accuracy:.1%} of these {test.tracks} tracks, {second} on "
        f"{test.incumbent_accuracy:.1%}: {100 * test.difference:+.1f} points "
        f"(95 % interval {100 * low:+.1f} to {100 * high:+.1f})"
    )


def paired_test_text(test: PairedTest, first: str, second: str, *, alpha: float) -> str:
    """Return `difference_text` and the two-sided p-value, compared with the significance level `alpha`."""
    p_value = test.two_sided_p_value
    significance = "a significant difference" if p_value < alpha else "which may be chance"
    return f"{difference_text(test, first, second)}, {significance} (exact McNemar test, two-sided: p = {p_value:.2g})"


def _tail(heads: int, tosses: int) -> float:
    """Return the probability of at least this many heads in this many tosses of a fair coin."""
    return sum(comb(tosses, k) for k in range(heads, tosses + 1)) / (1 << tosses)
