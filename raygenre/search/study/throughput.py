"""How long a search took, over all its drivers, and how many trials an hour that made."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from raygenre.search.study.ledger import Ledger

_PACE = "pace"


@dataclass(frozen=True)
class Throughput:
    """What the drivers of a search did between their first trial and their last; one that was killed does not count.

    Attributes:
        trials: that ended.
        seconds: that this took.
    """

    trials: int
    seconds: float

    @property
    def trials_per_hour(self) -> float:
        return 3600 * self.trials / self.seconds if self.seconds else 0.0


def throughput(ledger: Ledger) -> Throughput:
    """Return the pace of a search so far."""
    return Throughput(**ledger.study.user_attrs.get(_PACE, {"trials": 0, "seconds": 0.0}))


@contextmanager
def measure_throughput(ledger: Ledger) -> Iterator[None]:
    """Add what happens within this context to the pace."""
    before, began = _ended(ledger), time.monotonic()
    try:
        yield
    finally:
        trials = _ended(ledger) - before
        if trials or ledger.unfinished():
            past = throughput(ledger)
            now = {"trials": past.trials + trials, "seconds": past.seconds + time.monotonic() - began}
            with suppress(OSError):  # a full disk may be why the search ends
                ledger.study.set_user_attr(_PACE, now)


def _ended(ledger: Ledger) -> int:
    return sum(trial.state.is_finished() for trial in ledger.trials)
