"""Write files and folders atomically.

Readers see either the old version or the complete new version, never a partial version. Each function writes under a
temporary name in the target's folder and renames the result. The data is not flushed to disk: callers whose files must
survive a power failure have to call `os.fsync` before the rename.
"""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNFINISHED = ".unfinished-"
"""Prefix of temporary names. A killed process can leave such a file or folder behind."""


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to a file.

    Raises:
        OSError: the file cannot be written; the previous version, if any, is unchanged.
    """
    with atomic_file(path) as unfinished:
        unfinished.write_bytes(data)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to.

    When the context exits, the file at the temporary path replaces `path`; after an exception, it is deleted.

    Raises:
        OSError: the file cannot be renamed.
    """
    unfinished = _temporary_name(path)
    try:
        yield unfinished
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a new temporary folder to fill. On exit, it is renamed to `path`, which must not exist at that time.

    After an exception, the folder is deleted.

    Raises:
        OSError: the folder cannot be created or renamed.
    """
    unfinished = _temporary_name(path)
    unfinished.mkdir()
    try:
        yield unfinished
        unfinished.rename(path)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _temporary_name(path: Path) -> Path:
    """Return a path that no other process or thread uses."""
    return path.with_name(f"{UNFINISHED}{secrets.token_hex(8)}")
