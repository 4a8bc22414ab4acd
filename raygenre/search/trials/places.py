"""The places of a search: how many training runs it may execute at the same time.

A place provides the CPUs and GPUs for one training run. The limit is the lower of `--max-concurrent` and the limit in
the `Controls`, which may change at any time.
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace

import ray

from raygenre.search.controls import Controls, Demand, PhaseName
from raygenre.search.space.config import Resources
from raygenre.search.study.time_used import TimeUsed
from raygenre.search.trials.cluster import slots
from raygenre.search.trials.search_timer import SearchTimer

_LOOK = 1.0  # s between checks of the free CPUs and GPUs on the cluster
_REFRESH = 5.0  # s between counts of the training runs that fit on the cluster, which may grow and shrink


class Places:
    """The places of one search, in all of its phases.

    Attributes:
        controls: the limits that the search obeys, and its demand for places.
        time_used: the time that the search has taken so far, without the time in which it was allowed no place and no
            training run was in progress; saved with each report.

    Args:
        resources: the resources that a training run needs.
        timer: the search's timer, whose number of slots is updated when the limit or the cluster changes.
        clock: returns the time in s.
    """

    def __init__(
        self,
        controls: Controls,
        resources: Resources,
        *,
        timer: SearchTimer,
        time_used: TimeUsed,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.controls = controls
        self.time_used = time_used
        self._resources = resources
        self._timer = timer
        self._clock = clock
        self._seen = (-math.inf, 0)  # when the free places were counted, and their number
        self._waiting_since: float | None = None  # when the search last reported that it waits to be allowed a place
        self._counted: tuple[float, int | None] | None = None  # when the slots were counted, and the limit at that time

    @property
    def limit(self) -> int | None:
        """Number of training runs that may have a place now; None for as many as fit."""
        if self.controls.stopping:
            return 0
        limits = [self._resources.max_concurrent or None, self.controls.limit]
        return min((limit for limit in limits if limit is not None), default=None)

    def fits(self, running: int) -> bool:
        """Return whether a search with this many training runs may start another one."""
        limit = self.limit
        return limit is None or running < limit

    def may_ask(self, pending: int) -> bool:
        """Return whether another training run may request a place from Ray while this many are waiting.

        If the number of places is limited, all of them are requested at once, so that the cluster can grow. Without a
        limit, trials start together if places are free. If no place is free, only one trial waits, because the sampler
        has already chosen its setting and cannot use results that arrive in the meantime.
        """
        return self.limit is not None or pending < max(1, self._free())

    def _free(self) -> int:
        """Return how many training runs fit on the free CPUs and GPUs of the cluster."""
        now = self._clock()
        if now - self._seen[0] >= _LOOK:
            available = ray.available_resources()
            sizes = (("CPU", self._resources.cpus), ("GPU", self._resources.gpus))
            free = min(int(available.get(kind, 0) / amount + 1e-9) for kind, amount in sizes if amount)
            self._seen = now, free
        return self._seen[1]

    def report(self, phase: PhaseName, *, wanted: int = 0, running: int = 0, cpus: float | None = None) -> None:
        """Report the places that the search could use; call this regularly.

        Args:
            wanted: number of training runs that could be in progress at the same time.
            running: number of training runs that occupy a place.
            cpus: number of CPUs per place; None for as many as a trial needs.
        """
        wanted = min(wanted, self._resources.max_concurrent or wanted)
        own = self._resources
        self.controls.demand = Demand(phase, wanted, running, own.cpus if cpus is None else cpus, own.gpus)
        now, limit = self._clock(), self.limit
        if self._waiting_since is not None:
            self.time_used.skip(now - self._waiting_since)
        self._waiting_since = now if wanted and not running and limit == 0 else None
        self.time_used.save()
        if self._counted is None or now - self._counted[0] >= _REFRESH or limit != self._counted[1]:
            self._counted = now, limit
            fitting = slots(replace(own, max_concurrent=limit or own.max_concurrent))
            self._timer.work = replace(self._timer.work, slots=fitting)
