"""Counts the epochs that a training run has saved, because Ray tasks report only at the end."""

from contextlib import suppress

from raygenre.system.location import Location

POLL = 1.0  # s between checks for a new epoch
_REMOTE_POLL = 10.0  # s between these checks at a URL, where each check is a request


def poll_interval(location: Location) -> float:
    """Return the time between checks for a new epoch, in s."""
    return _REMOTE_POLL if location.is_remote else POLL


def saved_epochs(location: Location) -> int:
    """Return the number of the last saved epoch; 0 if there is none or the store is unreachable."""
    with suppress(OSError):
        return max((int(name[-4:]) for name in location.names() if name.startswith("epoch-")), default=0)
    return 0
