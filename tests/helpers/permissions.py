"""Run code as a user without write access, because permissions do not restrict root."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

UNPRIVILEGED = 65534  # by convention, the user without permissions


@contextmanager
def without_root() -> Iterator[None]:
    """Act as a user without permissions if this process runs as root, otherwise as the current user."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(UNPRIVILEGED, UNPRIVILEGED, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
