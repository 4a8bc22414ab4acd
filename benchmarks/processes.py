"""What a server's processes are, use and hold, by /proc."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")  # a second


def family(process: int) -> dict[int, list[str]]:
    """A process and all that it started, those included that their descendants started: id → fields of its stat."""
    found = _stats()
    return {pid: fields for pid, fields in found.items() if process in _line(pid, found)}


def births(pids: Iterable[int]) -> dict[int, str]:
    """When processes were started, in ticks since the machine was: an id alone may be another one's by now."""
    known = _stats()
    return {pid: known[pid][19] for pid in pids if pid in known}


def cpu_seconds(process: int) -> float:
    """CPU time, user and system, of a process and all that it started, so far."""
    # With the children that have ended.
    return sum(sum(map(int, fields[11:15])) for fields in family(process).values()) / TICKS


def titled(title: str, process: int) -> list[int]:
    """Those of a family in whose command line a text occurs."""
    found = []
    for pid in family(process):
        with suppress(OSError):
            if title in Path(f"/proc/{pid}/cmdline").read_text():
                found.append(pid)
    return found


def resident(pid: int) -> float:
    """MiB that a process holds; 0 if it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _stats() -> dict[int, list[str]]:
    """The fields of each process's stat that come after its name."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            found[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
    return found


def _line(pid: int, stats: dict[int, list[str]]) -> Iterator[int]:
    """The process, its parent, its parent's parent, …"""
    while pid in stats:
        yield pid
        pid = int(stats[pid][1])
