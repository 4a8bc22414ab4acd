"""The error of a job that cannot start at the moment, which does not count as an attempt."""

from collections.abc import Iterator
from contextlib import contextmanager

from serve.errors import RefusalError


class NotStartedError(RefusalError):
    """A job cannot start at the moment, because the replica has no champion or no space for the job's files."""


@contextmanager
def starting() -> Iterator[None]:
    """Convert each RefusalError in this context to a NotStartedError."""
    try:
        yield
    except RefusalError as refusal:
        raise NotStartedError(refusal.status, refusal.detail) from refusal
