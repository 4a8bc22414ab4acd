"""Errors that a user can cause or fix."""

from collections.abc import Iterator
from contextlib import contextmanager


class RaygenreError(Exception):
    """An error that a user can cause or fix. The message says what failed, where, why, and what to do about it.

    Commands print the message on one line and exit with status 2. Any other exception is a bug and keeps its traceback.
    """


class FileAccessError(RaygenreError, OSError):
    """A file or folder cannot be read or written; the message names the file and the reason."""


def reason_of(error: Exception) -> str:
    """Return the reason for a failure, without the path that an OSError contains."""
    return (isinstance(error, OSError) and error.strerror) or str(error) or repr(error)


@contextmanager
def file_errors(failure: str) -> Iterator[None]:
    """Turn any OSError into a FileAccessError with the message `FAILURE: REASON (FILE)`.

    Args:
        failure: the operation that failed, such as `the tracks could not be loaded`.
    """
    try:
        yield
    except RaygenreError:
        raise
    except OSError as error:
        file = f" ({error.filename})" if error.filename and str(error.filename) not in failure else ""
        raise FileAccessError(f"{failure}: {reason_of(error)}{file}") from error
