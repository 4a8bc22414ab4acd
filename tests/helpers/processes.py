"""Processes of a cluster, found by their titles, so that tests can end them or see what they hold; and patience."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path


def titled(title: str) -> Iterator[int]:
    """Ids of the processes in whose command line a text occurs, those started first before others."""
    for folder in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        with suppress(OSError):  # it has just ended
            if title in (folder / "cmdline").read_text(errors="replace"):
                yield int(folder.name)


def children(parent: int) -> list[int]:
    """Ids of the processes that a process has started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(folder.name))
    return found


def until(what: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something holds, which is looked at five times a second."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.2)
