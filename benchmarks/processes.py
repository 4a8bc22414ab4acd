"""Reads the CPU time and memory of a server's processes from /proc, and stops these processes."""

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def family(process: int) -> dict[int, list[str]]:
    """Return a process and its descendants, as a dictionary that maps each id to the fields of /proc/ID/stat."""
    stats = _stats()
    return {pid: fields for pid, fields in stats.items() if process in _ancestors(pid, stats)}


def start_times(pids: Iterable[int]) -> dict[int, str]:
    """Return the start times, in ticks since boot, of the given processes that are running.

    An id alone does not identify a process, because the system reuses ids.
    """
    stats = _stats()
    return {pid: stats[pid][19] for pid in pids if pid in stats}


def cpu_seconds(process: int) -> float:
    """Return the CPU time, user and system, of a process and its descendants, including those that have exited."""
    return sum(sum(map(int, fields[11:15])) for fields in family(process).values()) / TICKS_PER_SECOND


@contextmanager
def stopped(process: int) -> Iterator[None]:
    """Stop a process and its descendants while the context is active, so that they use no CPU time."""
    pids = list(family(process))
    try:
        _signal(pids, signal.SIGSTOP)
        yield
    finally:
        _signal(pids, signal.SIGCONT)


def titled(title: str, process: int) -> list[int]:
    """Return the ids of the processes in a `family` whose command line contains `title`."""
    matches = []
    for pid in family(process):
        with suppress(OSError):
            if title in Path(f"/proc/{pid}/cmdline").read_text():
                matches.append(pid)
    return matches


def resident(pid: int) -> float:
    """Return the resident memory of a process in MiB; 0 if it has exited."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _stats() -> dict[int, list[str]]:
    """Return, for each process, the fields of /proc/ID/stat that follow its name."""
    stats = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # the process has just exited
            stats[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
    return stats


def _ancestors(pid: int, stats: dict[int, list[str]]) -> Iterator[int]:
    """Yield a process, its parent, its parent's parent, …"""
    while pid in stats:
        yield pid
        pid = int(stats[pid][1])
