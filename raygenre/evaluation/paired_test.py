"""Two classifiers on the same tracks: is one better than the other, or was it chance?

Both answer every track, so each track is one of four kinds: both right, one of them alone right, neither. Tracks of the
first and the last kind say nothing about which is better; the test is on the others alone. Differences are shares of
the tracks, the candidate's accuracy less the incumbent's.
"""

from dataclasses import dataclass
from functools import cached_property
from math import comb

import numpy as np
from numpy.typing import NDArray
from rich.markup import escape
from rich.table import Table

LEAST_TRACKS = 50  # in a comparison; fewer would tell hardly any classifiers apart
SIGNIFICANT = 0.05  # a candidate's p-value must be smaller
RESAMPLES = 10_000
_SEED = 0  # of the resamples: the same counts have the same interval


@dataclass(frozen=True)
class PairedTest:
    """How many tracks are of which kind.

    Attributes:
        both: named rightly by both.
        candidate: by the candidate alone.
        incumbent: by the incumbent alone.
        neither: by neither.
    """

    both: int
    candidate: int
    incumbent: int
    neither: int

    def __post_init__(self) -> None:
        if min(self.both, self.candidate, self.incumbent, self.neither) < 0 or self.tracks == 0:
            raise ValueError(f"expected counts of at least one track, not {self}")

    @classmethod
    def of(cls, candidate: NDArray[np.bool_], incumbent: NDArray[np.bool_]) -> "PairedTest":
        """Count tracks, from bool (N,) each: whether the answer was right.

        Raises:
            ValueError: the two are not of the same tracks, or there are none.
        """
        if candidate.shape != incumbent.shape:
            raise ValueError(f"{len(candidate)} answers cannot be compared with {len(incumbent)}")
        kinds = np.bincount(2 * candidate.astype(int) + incumbent, minlength=4).tolist()
        neither, only_incumbent, only_candidate, both = kinds
        return cls(both, only_candidate, only_incumbent, neither)

    @property
    def tracks(self) -> int:
        return self.both + self.candidate + self.incumbent + self.neither

    @property
    def candidate_accuracy(self) -> float:
        return (self.both + self.candidate) / self.tracks

    @property
    def incumbent_accuracy(self) -> float:
        return (self.both + self.incumbent) / self.tracks

    @property
    def difference(self) -> float:
        """The candidate's accuracy less the incumbent's."""
        return (self.candidate - self.incumbent) / self.tracks

    @property
    def p_value(self) -> float:
        """How likely a candidate no better than the incumbent is right alone on so many tracks or more.

        The exact one-sided test of Q. McNemar (1947): of the tracks on which the two differ, each is then the
        candidate's with a probability of a half.
        """
        return _tail(self.candidate, self.candidate + self.incumbent)

    @property
    def two_sided_p_value(self) -> float:
        """The same with no side taken beforehand: twice the smaller of the two one-sided values."""
        discordant = self.candidate + self.incumbent
        return min(1.0, 2 * min(_tail(self.candidate, discordant), _tail(self.incumbent, discordant)))

    @cached_property
    def interval(self) -> tuple[float, float]:
        """The difference's 95 % interval, by the paired bootstrap over tracks.

        Drawing tracks with replacement draws their kinds, so that each resample is one multinomial draw.
        """
        shares = np.array([self.candidate, self.incumbent, self.both + self.neither]) / self.tracks
        drawn = np.random.default_rng(_SEED).multinomial(self.tracks, shares, size=RESAMPLES)  # (RESAMPLES, 3)
        low, high = np.percentile((drawn[:, 0] - drawn[:, 1]) / self.tracks, [2.5, 97.5])
        return float(low), float(high)


def _tail(hits: int, throws: int) -> float:
    """Return the probability of at least so many heads in throws of a fair coin."""
    return sum(comb(throws, heads) for heads in range(hits, throws + 1)) / (1 << throws)


def contingency_table(comparison: PairedTest, first: str, second: str) -> Table:
    """Return the tracks by who named them rightly; `first` stands in the candidate's place."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    first, second = escape(first), escape(second)
    for column in ("tracks", f"{second} right", f"{second} wrong"):
        table.add_column(column, justify="right")
    table.add_row(f"{first} right", str(comparison.both), str(comparison.candidate))
    table.add_row(f"{first} wrong", str(comparison.incumbent), str(comparison.neither))
    return table


def difference_text(comparison: PairedTest, first: str, second: str) -> str:
    """Say how far apart the two are."""
    low, high = comparison.interval
    return (
        f"{first} is right on {comparison.candidate_accuracy:.1%} of these {comparison.tracks} tracks, {second} on "
        f"{comparison.incumbent_accuracy:.1%}: {100 * comparison.difference:+.1f} points "
        f"(95 % interval {100 * low:+.1f} to {100 * high:+.1f})"
    )


def paired_test_text(comparison: PairedTest, first: str, second: str) -> str:
    """Say how far apart two are of which neither is the champion, and whether that is chance."""
    p_value = comparison.two_sided_p_value
    verdict = "beyond chance" if p_value < SIGNIFICANT else "which may be chance"
    return f"{difference_text(comparison, first, second)}, {verdict} (exact McNemar test, two-sided: p = {p_value:.2g})"
