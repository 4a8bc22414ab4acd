"""Show names of files as text."""

import os
from pathlib import Path


def printable(path: Path) -> str:
    """Return a path as text that can be printed and stored; bytes that are not UTF-8 are written as \\xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
