"""Rewrite the absolute addresses in MLflow's database after a storage is moved or copied.

The embedded database contains the address of every run's and model's artifacts. If only the folder were moved, MLflow
would therefore continue to read artifacts from the old folder and write new artifacts there. To prevent this, the first
process that opens the database in the new folder rewrites the addresses in one transaction. The database of the old
folder, if it still exists, is not changed.

The address of the experiment contains the database's folder; MLflow stores the artifacts of new runs at this address.
"""

import fcntl
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from raygenre.errors import file_errors
from raygenre.system.storage import ARTIFACTS, DATABASE, EXPERIMENT, Storage, StorageError

_TIMEOUT = 20.0  # s to wait for a process that is writing to the database; MLflow also waits 20 s
_SHORT_TIMEOUT = 1.0  # s, for a check that must respond quickly
_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("trace_tags", "value"),
    ("workspaces", "default_artifact_root"),
)
"""Tables and columns of MLflow's database that contain artifact URIs."""
_PATHS = (("tags", "value"),)
"""Tables and columns in which raygenre stores paths in the storage, namely the tag that locates a run's checkpoint."""


class StorageBusyError(StorageError, OSError):
    """The database is locked, so it is unknown whether the storage was moved; a retry may succeed."""


@dataclass(frozen=True)
class Move:
    """A storage whose database contains addresses in a different folder.

    Attributes:
        old: the folder to which the addresses point, or pointed before they were rewritten.
        new: the folder of the storage.
        problem: why the addresses could not be rewritten; empty if they were.
    """

    old: Path
    new: Path
    problem: str = ""

    def __str__(self) -> str:
        """One line for the user."""
        moved = f"the storage was moved or copied from {self.old} to {self.new}"
        if self.problem:
            return f"{moved}; MLflow's addresses still name {self.old}, because {self.problem}"
        return f"{moved}; MLflow's addresses now name {self.new}"

    def current(self, uri: str) -> str:
        """Return the current URI of artifacts whose recorded URI may point to the old folder."""
        old = self.old.as_uri()
        return self.new.as_uri() + uri.removeprefix(old) if uri.startswith(f"{old}/") else uri


def follow_move(storage: Storage) -> Move | None:
    """Rewrite the addresses in the embedded database if they name a folder other than the storage's.

    Returns:
        The move, with its `problem` set if the database cannot be written; None if there is nothing to rewrite.

    Raises:
        StorageError: a search that needs the current addresses is running in the storage.
        StorageBusyError: the database is locked for longer than 20 s.
        FileAccessError: a lock in the storage cannot be read.
    """
    database = storage.root / DATABASE
    if storage.database != database or not database.is_file():
        return None
    old = None
    try:
        address = f"{database.as_uri()}?mode=rw"  # `rw` also opens a read-only file, but does not create a missing one
        with closing(sqlite3.connect(address, uri=True, timeout=_TIMEOUT, isolation_level=None)) as connection:
            old = _other_folder(connection, storage.root)
            if old is None:
                return None
            _check_idle(storage, old)
            connection.execute("BEGIN IMMEDIATE")
            if _other_folder(connection, storage.root) != old:  # already rewritten by another process
                return None
            for table, column in _ADDRESSES:
                _rewrite(connection, table, column, old.as_uri(), storage.root.as_uri())
            for table, column in _PATHS:
                _rewrite(connection, table, column, str(old), str(storage.root))
            connection.execute("COMMIT")
            return Move(old, storage.root)
    except sqlite3.Error as error:
        if old is None and getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            raise StorageBusyError(f"{database}: {error}") from error
        # If the database cannot be read for any other reason, MLflow's client reports the error.
        return Move(old, storage.root, str(error)) if old else None


def find_move(storage: Storage) -> Move | None:
    """Return the move that `follow_move` would follow, without changing anything; None if the storage was not moved.

    The result is also None if the database cannot be read.
    """
    database = storage.root / DATABASE
    if storage.database != database or not database.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=_SHORT_TIMEOUT)) as connection:
            old = _other_folder(connection, storage.root)
    except sqlite3.Error:
        return None
    return Move(old, storage.root, "no command has opened the database here yet") if old else None


def _other_folder(connection: sqlite3.Connection, root: Path) -> Path | None:
    """Return the folder in the experiment's address.

    The result is None if that folder belongs to this storage, or if the artifacts are stored elsewhere.
    """
    if not _has_column(connection, "experiments", "artifact_location"):
        return None
    rows = connection.execute("SELECT artifact_location FROM experiments WHERE name = ?", (EXPERIMENT,))
    for url in (urlsplit(location) for (location,) in rows):
        artifacts = Path(unquote(url.path))
        old = artifacts.parent
        if url.scheme != "file" or artifacts.name != ARTIFACTS or old == root or _is_same(old, root):
            continue
        # Only the database was copied, or it was created with --tracking-uri and a different --storage.
        if artifacts.exists() and not (root / ARTIFACTS).exists():
            continue
        return old
    return None


def _rewrite(connection: sqlite3.Connection, table: str, column: str, old: str, new: str) -> None:
    """Replace the folder at the start of a column's values, unless this MLflow version lacks the column."""
    if _has_column(connection, table, column):
        connection.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
            (new, len(old) + 1, len(old) + 1, f"{old}/"),
        )


def _has_column(connection: sqlite3.Connection, table: str, column: str) -> bool:
    return column in {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}


def _check_idle(storage: Storage, old: Path) -> None:
    """Check that no search uses the storage at its old path, for instance in a container.

    Raises:
        StorageError: a search is running.
    """
    for lock in storage.studies.folder.glob("*/lock"):
        with file_errors("the storage cannot be read"), lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                if file.read().strip() != str(os.getpid()):
                    raise StorageError(
                        f"the storage {storage.root} is in use as {old}: the study {lock.parent.name} is running "
                        f"there; open it as {old}, or wait until the search ends"
                    ) from None


def _is_same(first: Path, second: Path) -> bool:
    """Return whether two paths lead to the same folder, for instance through a bind mount."""
    try:
        return first.samefile(second)
    except OSError:
        return False
