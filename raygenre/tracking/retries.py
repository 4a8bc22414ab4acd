"""Turns off MLflow's own retries, and defines the error for an unreachable server.

This module does not import MLflow.
"""

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from raygenre.errors import RaygenreError

_NO_RETRIES = {
    # One attempt per request, because the callers retry. MLflow waits up to 20 s for a lock on its SQLite database, so
    # the timeout, 30 s, has to be longer.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    # This setting saves a request when a run ends, and prevents MLflow from printing the run's URL.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


class TrackingUnreachableError(RaygenreError, RuntimeError):
    """MLflow is unreachable. The message states what was saved, where it is, and how to continue."""


@dataclass
class _Overrides:
    """The environment variables that `no_retries` has set, and the number of threads that use them."""

    users: int = 0
    variables: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


_overrides = _Overrides()


@contextlib.contextmanager
def no_retries() -> Iterator[None]:
    """Make MLflow send each request only once, with a timeout of 30 s, unless environment variables override this.

    MLflow reads these settings only from the environment, which all threads share and new processes inherit. Therefore,
    the first thread that enters the context sets the variables, and the last thread that leaves it removes them.
    """
    with _overrides.lock:
        if not _overrides.users:
            _overrides.variables = {name: value for name, value in _NO_RETRIES.items() if name not in os.environ}
            os.environ.update(_overrides.variables)
        _overrides.users += 1
    try:
        yield
    finally:
        with _overrides.lock:
            _overrides.users -= 1
            if not _overrides.users:
                for name in _overrides.variables:
                    os.environ.pop(name, None)
