"""Replace a file atomically, keeping its mode, owner, times and extended attributes."""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from raygenre.system.atomic_write import UNFINISHED
from raygenre.system.regular_file import check_regular
from raygenre.tagging.formats.base import TagError

_PREFIX = f"{UNFINISHED}tag-"


def check_replaceable(path: Path) -> os.stat_result:
    """Check that a file may be replaced, and return its status.

    Raises:
        OSError: the file does not exist.
        TagError: the file is not regular, is read-only, or has other names (hard links) that would keep the old tags.
    """
    status = check_regular(path, TagError)
    if not status.st_mode & 0o222 or not os.access(path, os.W_OK):
        raise TagError("it is read-only; allow writing with `chmod u+w`")
    if status.st_nlink > 1:
        raise TagError(
            f"it has {status.st_nlink} hard links, and writing would detach it from the others; "
            "to tag only this file, copy it first"
        )
    return status


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """Yield a copy of a file in the same folder.

    On exit, the copy is flushed to disk and replaces the file. After an exception, the copy is deleted and the file is
    unchanged. A killed process can leave the copy behind; `remove_abandoned` deletes it. The copy stays locked while
    the process that created it runs.

    Args:
        path: a regular file, not a link.

    Raises:
        OSError: the copy cannot be written, for example because the disk is full.
        TagError: as for `check_replaceable`, or the file was changed in the meantime or belongs to another user.
    """
    before = check_replaceable(path)
    copy = path.with_name(f"{_PREFIX}{secrets.token_hex(8)}")
    descriptor = os.open(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with suppress(OSError):  # some network file systems do not support locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.copyfile(path, copy)
        yield copy
        _copy_status(path, copy, before)
        os.fsync(descriptor)
        if _identity(path.stat()) != _identity(before):
            raise TagError("it was changed in the meantime; run the command again")
        copy.replace(path)
    except BaseException:
        copy.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    flush_folder(path.parent)


def remove_abandoned(folder: Path) -> int:
    """Delete copies that killed processes left in a folder, and return their number."""
    removed = 0
    for copy in folder.glob(f"{_PREFIX}*"):
        with suppress(OSError), copy.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while the process that writes the copy is running
            copy.unlink()
            removed += 1
    return removed


def _copy_status(path: Path, copy: Path, before: os.stat_result) -> None:
    if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
        try:
            os.chown(copy, before.st_uid, before.st_gid)
        except PermissionError:
            raise TagError("it belongs to another user or group; run the command as its owner") from None
    shutil.copystat(path, copy)  # mode, times, and extended attributes, including access control lists
    os.utime(copy, ns=(before.st_atime_ns, before.st_mtime_ns))  # reading the file may have changed its access time


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def flush_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, so that a new or renamed file survives a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems cannot flush a folder
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
