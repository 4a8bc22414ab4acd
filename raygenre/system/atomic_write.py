"""Write a file whole or not at all."""

import os
from pathlib import Path

UNFINISHED = ".unfinished-"
"""How the names of files begin that are still being written, or were when their process was killed."""


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under a temporary, hidden name beside its own, and rename it: nobody sees half of it.

    Raises:
        OSError: it cannot be written; what was there before still is.
    """
    unfinished = path.with_name(f"{UNFINISHED}{os.getpid()}")
    try:
        unfinished.write_bytes(data)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
