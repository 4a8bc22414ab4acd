"""Find processes by command line or parent, and wait for conditions."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path


def titled(title: str) -> Iterator[int]:
    """Yield the ids of processes whose command line contains `title`, in ascending order."""
    for folder in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        with suppress(OSError):  # the process has just exited
            if title in (folder / "cmdline").read_text(errors="replace"):
                yield int(folder.name)


def children(parent: int) -> list[int]:
    """Return the ids of a process's children."""
    pids = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                pids.append(int(folder.name))
    return pids


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Check a condition five times per second until it is true; fail after a timeout."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)
