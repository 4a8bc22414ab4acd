"""Measures a search's duration over all its drivers, and its trials per hour."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from raygenre.search.study.ledger import Ledger

_THROUGHPUT = "pace"  # attribute of the study


@dataclass(frozen=True)
class Throughput:
    """Trials and time of a search, over all drivers except those that were killed.

    Attributes:
        trials: number of trials that ended.
        seconds: time spent on trials, without pauses between drivers.
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
    """Add the trials that end within this context, and their time, to the throughput."""
    ended_before, started = _ended(ledger), time.monotonic()
    try:
        yield
    finally:
        trials = _ended(ledger) - ended_before
        if trials or ledger.unfinished():
            past = throughput(ledger)
            total = {"trials": past.trials + trials, "seconds": past.seconds + time.monotonic() - started}
            with suppress(OSError):  # a full disk may be the reason why the search ends
                ledger.study.set_user_attr(_THROUGHPUT, total)


def _ended(ledger: Ledger) -> int:
    return sum(trial.state.is_finished() for trial in ledger.trials)
