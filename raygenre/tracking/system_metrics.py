"""Logs the utilisation of the driver's machine during a search as MLflow system metrics.

In a cluster of several machines, only the driver's machine is measured.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from raygenre.system import hardware
from raygenre.tracking.tracker import Tracker

INTERVAL = 10.0  # s between values at first
_VALUES_PER_INTERVAL = 360  # the interval doubles after this many values: 360 in an hour, 1700 in a day, 2700 in a week


@contextmanager
def log_system_metrics(tracker: Tracker, run: str, *, interval: float = INTERVAL) -> Iterator[None]:
    """Log the machine's utilisation to a run from a separate thread, at increasing intervals but at least once."""
    stopped = threading.Event()
    thread = threading.Thread(target=_log, args=(tracker, run, interval, stopped), name="system-metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def interval_after(values: int, interval: float) -> float:
    """Return the time to wait for the next value, in s, given the number of values so far."""
    return float(interval * 2 ** (values // _VALUES_PER_INTERVAL))


def _log(tracker: Tracker, run: str, interval: float, stopped: threading.Event) -> None:
    step = max(tracker.steps(run, hardware.CPU), default=0)  # continue an earlier driver's steps
    hardware.utilization()  # discard the first values, which have no earlier call as a reference
    with suppress(OSError):  # if the disk is full, the search itself reports it
        while not stopped.wait(interval_after(step, interval)):
            step += 1
            tracker.log(run, hardware.utilization(), step=step)
        if not step:  # the search ended before the first value
            tracker.log(run, hardware.utilization(), step=1)
