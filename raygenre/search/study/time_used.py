"""The time that a search has taken so far, summed over all of its drivers."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from raygenre.search.study.ledger import Ledger

_TIME_USED = "time_used"  # attribute of the study, in s
_SAVE = 60.0  # s between two records; a killed driver loses at most this much


class TimeUsed:
    """The time that one search has taken, without the time in which it waited for a place.

    Args:
        clock: returns the time in s.
    """

    def __init__(self, ledger: Ledger, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._clock = clock
        self._before = float(ledger.study.user_attrs.get(_TIME_USED, 0.0))
        self._started = self._saved = clock()

    @property
    def seconds(self) -> float:
        """Time that all drivers have spent on the search, in s."""
        return self._before + self._clock() - self._started

    def skip(self, seconds: float) -> None:
        """Do not count this much of the time that has passed."""
        self._started += seconds

    def save(self, *, now: bool = False) -> None:
        """Record the time, at most once a minute unless `now` is true."""
        if now or self._clock() - self._saved >= _SAVE:
            self._saved = self._clock()
            self._ledger.study.set_user_attr(_TIME_USED, round(self.seconds, 1))


@contextmanager
def measure_time(ledger: Ledger) -> Iterator[TimeUsed]:
    """Record the time spent within this context."""
    used = TimeUsed(ledger)
    try:
        yield used
    finally:
        with suppress(OSError):  # the search may be ending because the disk is full
            used.save(now=True)
