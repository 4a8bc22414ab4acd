"""Measure the memory of the processes that handle requests (proxies, replicas and their decoders) from /proc."""

import os
from dataclasses import dataclass
from pathlib import Path

from benchmarks import processes

MAX_GROWTH = 100e6  # bytes, over many requests


@dataclass(frozen=True)
class Change:
    """Memory changes since the start, in bytes.

    Attributes:
        grown: change in the resident memory of all processes.
        peak: change in the replicas' peak resident memory.
    """

    grown: float
    peak: float


class Watch:
    """Measures how the memory of an application's processes has changed since this object was created."""

    def __init__(self, application: str) -> None:
        self._application = application
        self._replicas = _titled(f"ServeReplica:{application}:")
        for pid in self._replicas:
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # resets the peak
        self._replicas_at_start = sum(map(processes.resident, self._replicas))
        self._all_at_start = _resident(application)

    def change(self) -> Change:
        """Return how memory use has changed since this object was created."""
        assert _titled(f"ServeReplica:{self._application}:") == self._replicas, "a replica has died"
        grown = _resident(self._application) - self._all_at_start
        return Change(grown * 2**20, sum(map(_peak, self._replicas)) - self._replicas_at_start * 2**20)


def _resident(application: str) -> float:
    """Return the resident memory of all processes in MiB."""
    replicas, proxies = _titled(f"ServeReplica:{application}:"), _titled("ray::ProxyActor")
    decoders = [pid for replica in replicas for pid in processes.titled("serve.inference.decoder_process", replica)]
    return sum(processes.resident(pid) for pid in (*replicas, *proxies, *decoders))


def _titled(title: str) -> list[int]:
    """Return the ids of matching processes, except those of other clusters, which may be running at the same time."""
    pids = processes.titled(title, os.getpid())
    assert pids, f"no process {title} is running"
    return pids


def _peak(pid: int) -> int:
    """Return a process's peak resident memory in bytes."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
