"""Logs the utilisation of the driver's machine during a search as MLflow system metrics.

In a cluster of several machines only the driver's machine is measured.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from raygenre.system import hardware
from raygenre.tracking.tracker import Tracker

INTERVAL = 10.0  # s between the first values
_VALUES_PER_INTERVAL = 360  # values until the interval doubles: an hour has 360, a day 1700, a week 2700


@contextmanager
def log_system_metrics(tracker: Tracker, run: str, *, interval: float = INTERVAL) -> Iterator[None]:
    """Within this context a thread logs the machine's utilisation to a run, less often over time, at least once."""
    stopped = threading.Event()
    thread = threading.Thread(target=_log, args=(tracker, run, interval, stopped), name="system-metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def interval_after(values: int, interval: float) -> float:
    """Return the s to wait for the next value after this number of values."""
    return float(interval * 2 ** (values // _VALUES_PER_INTERVAL))


def _log(tracker: Tracker, run: str, interval: float, stopped: threading.Event) -> None:
    step = max(tracker.steps(run, hardware.CPU), default=0)  # continue after an earlier driver
    hardware.utilization()  # the first call covers no time and returns no useful values
    with suppress(OSError):  # a full disk: the search itself reports it
        while not stopped.wait(interval_after(step, interval)):
            step += 1
            tracker.log(run, hardware.utilization(), step=step)
        if not step:  # the search ended before its first value
            tracker.log(run, hardware.utilization(), step=1)
