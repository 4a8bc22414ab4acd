"""Signals a training run in a Ray task to pause after its current epoch.

Ray itself can only cancel a task, which loses the epoch in progress. The signal consists of files, which also reach
workers on other nodes and survive the loss of any node.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray

from raygenre.system.location import Location

FOLDER = "pauses"
"""Folder for the signals, within a study's location."""

_STARTED, _REQUESTED = "started", "requested"


@dataclass(frozen=True)
class PauseSignal:
    """The signal between the driver and one training run.

    Attributes:
        location: folder or URL that contains the signal's files and nothing else.
    """

    location: Location

    def clear(self) -> None:
        """Delete the files that an earlier attempt left behind; the driver calls this before it starts the task."""
        self.location.remove()

    def pause(self, task: "ray.ObjectRef[Any]") -> None:
        """Make the task end after the epoch in progress, or immediately if it is still waiting for a place.

        Raises:
            OSError: the location cannot be written to.
        """
        if _STARTED in self.location.names():
            self.location.write(_REQUESTED, b"")
        else:
            ray.cancel(task)

    def note_started(self) -> None:
        """Record that the task has a place; the worker calls this first."""
        self.location.write(_STARTED, b"")

    def is_requested(self) -> bool:
        """Return whether the worker must pause."""
        with suppress(OSError):  # an object store may fail; the worker checks again before the next epoch
            return _REQUESTED in self.location.names()
        return False
