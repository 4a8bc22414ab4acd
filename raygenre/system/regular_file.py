"""Reject pipes and devices, because reading from them may never end."""

import os
import stat
from pathlib import Path

from raygenre.errors import RaygenreError


def check_regular(path: Path, refusal: type[RaygenreError]) -> os.stat_result:
    """Check that a path refers to a regular file, and return the file's status. Call this before opening the file.

    Raises:
        OSError: the file does not exist.
        refusal: the path refers to a pipe, a device, a socket or a folder.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # even opening a named pipe blocks until there is a writer, perhaps forever
        raise refusal("it is not a regular file")
    return status
