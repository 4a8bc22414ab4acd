"""What the processes that a request goes through hold, by /proc: proxies, replicas, and their decoders."""

import os
from dataclasses import dataclass
from pathlib import Path

from benchmarks import processes

MOST_GROWTH = 100e6  # bytes, over many requests


@dataclass(frozen=True)
class Change:
    """Bytes of memory.

    Attributes:
        grown: held at the end, beyond what was held at the beginning, by all of these processes.
        peak: held at a time by the replicas, beyond what they held at the beginning.
    """

    grown: float
    peak: float


class Watch:
    """Looks at the memory of an application's processes from when it is made."""

    def __init__(self, application: str) -> None:
        self._application = application
        self._replicas = _titled(f"ServeReplica:{application}:")
        for pid in self._replicas:
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak is what is held now
        self._held = sum(map(processes.resident, self._replicas))
        self._before = _resident(application)

    def change(self) -> Change:
        """What has changed since."""
        assert _titled(f"ServeReplica:{self._application}:") == self._replicas, "a replica has died"
        grown = _resident(self._application) - self._before
        return Change(grown * 2**20, sum(map(_peak, self._replicas)) - self._held * 2**20)


def _resident(application: str) -> float:
    """MiB."""
    replicas, proxies = _titled(f"ServeReplica:{application}:"), _titled("ray::ProxyActor")
    decoders = [pid for replica in replicas for pid in processes.titled("serve.inference.decoder_process", replica)]
    return sum(processes.resident(pid) for pid in (*replicas, *proxies, *decoders))


def _titled(title: str) -> list[int]:
    """Ids of processes of this test's own cluster: others may run on the machine."""
    found = processes.titled(title, os.getpid())
    assert found, f"there is no process {title}"
    return found


def _peak(pid: int) -> int:
    """Bytes."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
