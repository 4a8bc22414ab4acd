"""A test of a classifier against guessing: has the classifier learned anything?

Without listening, one can do no better than name a genre at random or, if the genres differ in size, always name the
largest one. The guessing rate is therefore the larger of 1/G, for G genres, and the largest genre's share of the
tracks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

MAX_P_VALUE = 0.05
"""A classifier is better than chance only if the p-value is below this limit."""


@dataclass(frozen=True)
class ChanceTest:
    """The one-sided exact binomial test of a classifier against guessing.

    Attributes:
        name: kind of tracks, such as `test`.
        hits: number of tracks that are classified correctly.
        tracks: number of tracks.
        rate: expected share of the tracks that guessing classifies correctly; above 0.
    """

    name: str
    hits: int
    tracks: int
    rate: float

    @property
    def p_value(self) -> float:
        """The probability that guessing classifies at least as many tracks correctly as the classifier does."""
        if self.rate >= 1:
            return 1.0
        terms = [self._log_probability(hits) for hits in range(self.hits, self.tracks + 1)]
        return min(1.0, math.fsum(math.exp(term) for term in terms))

    @property
    def is_better(self) -> bool:
        """Whether the classifier is significantly better than guessing."""
        return self.p_value < MAX_P_VALUE

    @property
    def text(self) -> str:
        """The result as a clause that contains "no better than chance" or "better than chance"."""
        return (
            f"{'better' if self.is_better else 'no better'} than chance: {self.hits} of {self.tracks} {self.name} "
            f"tracks are classified correctly, and guessing reaches {self.rate:.1%} (p = {self.p_value:.2g})"
        )

    def _log_probability(self, hits: int) -> float:
        """Return the logarithm of the probability that guessing is correct on exactly this many tracks."""
        misses = self.tracks - hits
        ways = math.lgamma(self.tracks + 1) - math.lgamma(hits + 1) - math.lgamma(misses + 1)
        return ways + hits * math.log(self.rate) + misses * math.log1p(-self.rate)


def guessing_rate(counts: Sequence[int]) -> float:
    """Return the guessing rate, given the number of tracks of each genre; at least one must be above 0."""
    return max(1 / len(counts), max(counts) / sum(counts))
