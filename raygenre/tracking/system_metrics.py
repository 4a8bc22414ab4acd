"""How busy the driver's machine is while a search goes on, in MLflow's system metrics.

On a cluster of several machines this is the one of them that the driver runs on.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from raygenre.system import hardware
from raygenre.tracking.tracker import Tracker

EVERY = 10.0  # s between two values
_SLOWER_AFTER = 360  # values, then twice the time between two: an hour has 360, a day 1700, a week 2700


@contextmanager
def log_system_metrics(tracker: Tracker, run: str, *, every: float = EVERY) -> Iterator[None]:
    """Within this context a thread logs how busy the machine is into a run, ever less often, and once at least."""
    ended = threading.Event()
    thread = threading.Thread(target=_watch, args=(tracker, run, every, ended), name="machine-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def pause(values: int, every: float) -> float:
    """Return how many s to wait for the next value where there are so many."""
    return float(every * 2 ** (values // _SLOWER_AFTER))


def _watch(tracker: Tracker, run: str, every: float, ended: threading.Event) -> None:
    step = max(tracker.steps(run, hardware.CPU), default=0)  # of a driver before this one
    hardware.utilization()  # the first answer is of no time at all
    with suppress(OSError):  # a full disk: the search itself says so
        while not ended.wait(pause(step, every)):
            step += 1
            tracker.log(run, hardware.utilization(), step=step)
        if not step:  # the search ended before its first value
            tracker.log(run, hardware.utilization(), step=1)
