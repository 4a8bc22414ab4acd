"""Measures the total time of a search over all its drivers, and its trials per hour."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from raygenre.search.study.ledger import Ledger

_THROUGHPUT = "pace"  # attribute of the study


@dataclass(frozen=True)
class Throughput:
    """Number of trials and total time of a search, summed over all drivers except those that were killed.

    Attributes:
        trials: number of finished trials.
        seconds: time spent on trials, not counting pauses between drivers.
    """

    trials: int
    seconds: float

    @property
    def trials_per_hour(self) -> float:
        return 3600 * self.trials / self.seconds if self.seconds else 0.0


def throughput(ledger: Ledger) -> Throughput:
    """Return the throughput of a search so far."""
    return Throughput(**ledger.study.user_attrs.get(_THROUGHPUT, {"trials": 0, "seconds": 0.0}))


@contextmanager
def measure_throughput(ledger: Ledger) -> Iterator[None]:
    """Add the trials that finish within this context, and the time they took, to the throughput."""
    ended_before, started = _ended(ledger), time.monotonic()
    try:
        yield
    finally:
        trials = _ended(ledger) - ended_before
        if trials or ledger.unfinished():
            past = throughput(ledger)
            total = {"trials": past.trials + trials, "seconds": past.seconds + time.monotonic() - started}
            with suppress(OSError):  # the search may be ending because the disk is full
                ledger.study.set_user_attr(_THROUGHPUT, total)


def _ended(ledger: Ledger) -> int:
    return sum(trial.state.is_finished() for trial in ledger.trials)
