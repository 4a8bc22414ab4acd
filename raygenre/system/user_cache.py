"""The user's cache: a folder of files that all storages share and that can be recreated."""

import os
import sys
from pathlib import Path


def user_cache() -> Path:
    """Return the folder, without creating it.

    The folder is `RAYGENRE_CACHE` or, if this variable is unset, `raygenre` in the platform's cache folder:
    `~/Library/Caches` on macOS, and `XDG_CACHE_HOME` or `~/.cache` on other systems.
    """
    if own := os.environ.get("RAYGENRE_CACHE"):
        return Path(own).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "raygenre"
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says that relative paths are invalid and must be ignored.
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "raygenre"
