"""Keeps the threads that share one computation on different cores.

OpenMP's threads wait for each other after each layer of a network. While other processes are busy, the kernel sometimes
runs two of these threads on one core, and a prediction then takes two to four times as long.
"""

import ctypes
import os
import threading
from contextlib import suppress
from pathlib import Path

import torch

_TASKS = Path("/proc/self/task")
_PARALLEL_SIZE = 1 << 20  # elements; torch divides an operation on this many among its threads


class HelperThreads:
    """The OpenMP threads that help the thread that creates this object; only that thread may call the methods.

    On systems other than Linux, and on a single core, the kernel alone decides where the threads run.

    Args:
        cores: number of cores that the thread uses in total; must be at least 2.
    """

    def __init__(self, cores: int) -> None:
        self._ids: list[int] = []
        self._avoided: int | None = None  # core that the helpers do not use
        with suppress(OSError, AttributeError):
            self._current_core = ctypes.CDLL(None).sched_getcpu
            # OpenMP's threads inherit the name of the thread that starts them. Python's own thread names are not
            # visible here.
            own = _TASKS / str(threading.get_native_id())
            name = f"forward-{own.name}"
            (own / "comm").write_text(name)
            torch.set_num_threads(cores)
            torch.ones(_PARALLEL_SIZE).add_(1)  # OpenMP starts its threads now
            self._ids = [
                int(task.name)
                for task in _TASKS.iterdir()
                if task != own and (task / "comm").read_text().strip() == name
            ]

    def leave_core(self) -> None:
        """Make the helpers use any of this thread's cores, except the one on which this thread is running."""
        if not self._ids or (core := self._current_core()) == self._avoided:
            return
        if others := os.sched_getaffinity(0) - {core}:
            with suppress(OSError):  # the cores available to the process have just changed
                for helper in self._ids:
                    os.sched_setaffinity(helper, others)
                self._avoided = core
