"""The limits that a running search obeys, and its report of how many places it could use.

A search reads its `Controls` between epochs and writes its `Demand`; another thread of the driver writes the `Controls`
and reads the `Demand`. The default controls impose no limits.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

PhaseName = Literal["trials", "repeats", "final", "closing"]


class SearchStopped(Exception):  # noqa: N818 (not an error)
    """A search was stopped on request. Everything is saved, and the search can be resumed."""


@dataclass(frozen=True)
class Demand:
    """The places that a search could use at the moment.

    A place provides the CPUs and GPUs for one training run: a trial, a repeat or the final training.

    Attributes:
        phase: what the search is doing; `closing` covers the time before, between and after the training phases.
        places: number of training runs that could be in progress at the same time, regardless of how many fit on the
            cluster; 0 in the `closing` phase.
        running: number of training runs that occupy a place.
        cpus, gpus: number of CPUs and GPUs of one place.
    """

    phase: PhaseName
    places: int
    running: int
    cpus: float
    gpus: float


class Controls:
    """The limits that a running search must follow; any thread may set any attribute at any time.

    Attributes:
        limit: number of places granted; None for as many as fit on the cluster. Runs above the limit pause after the
            epoch in progress; with a limit of 0, all runs pause. The search's `--max-concurrent` is an additional
            limit.
        trials: new number of trials for the search; None to leave it unchanged. A number lower than the study's
            current number is ignored.
        time_budget: new time budget in s, 0 for none; None to leave it unchanged. See `SearchConfig.time_budget`.
        demand: the places that the search could use now; None before its first phase. Set by the search.
        seconds_left: function that returns an estimate of the time left in s, or None while the time left is unknown.
            Set by the search.
    """

    def __init__(self, *, limit: int | None = None, trials: int | None = None) -> None:
        self.limit = limit
        self.trials = trials
        self.time_budget: float | None = None
        self.demand: Demand | None = None
        self.seconds_left: Callable[[], float | None] = lambda: None
        self._stop = threading.Event()

    @property
    def stopping(self) -> bool:
        """Whether the search has been asked to stop."""
        return self._stop.is_set()

    def request_stop(self) -> None:
        """Ask the search to save everything and raise `SearchStopped` after the epochs in progress."""
        self._stop.set()
