"""The folder and storage of a study: its lock, and Optuna's journal or database."""

import fcntl
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from grpc import RpcError
from optuna.exceptions import ExperimentalWarning, OptunaError
from optuna.storages import BaseStorage, GrpcStorageProxy, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from sqlalchemy.exc import SQLAlchemyError

from raygenre.search.study.names import JOURNAL, LOCK
from raygenre.search.study.names import StudyBusyError as StudyBusyError
from raygenre.search.study.names import StudyError as StudyError
from raygenre.search.study.names import check_name as check_name
from raygenre.search.study.names import last_used as last_used
from raygenre.search.study.names import latest_study as latest_study
from raygenre.system.redaction import masked

STORAGE_ERRORS = (OptunaError, RpcError)
"""The errors that a study's storage raises when it cannot be read or written; see `storage_error_text`."""
_GRPC = "grpc://"
_PROXY_TIMEOUT = 10  # s to wait for a gRPC proxy
_DATABASE_TIMEOUT = 120  # s to wait for a database that another process has locked


def storage(folder: Path, url: str | None) -> BaseStorage:
    """Return Optuna's storage for a study: a database, a gRPC proxy for a database, or the journal in its folder.

    Raises:
        StudyError: the database does not exist, its driver is not installed, or the proxy does not respond.
    """
    if url and url.startswith(_GRPC):
        return _proxy(url)
    if url:
        # By default, SQLite gives up after five seconds if another process, such as a backup, holds the lock.
        wait: dict[str, Any] = {"connect_args": {"timeout": _DATABASE_TIMEOUT}}
        # A database server that restarts closes its connections, so each connection is tested before it is used.
        options: dict[str, Any] = wait if url.startswith("sqlite") else {"pool_pre_ping": True}
        try:
            return RDBStorage(url, engine_kwargs=options)
        except ImportError as error:
            raise StudyError(
                f"the database of --study-url cannot be used: {error} (for PostgreSQL, run `pip install "
                "'raygenre[servers]'` and use an address that starts with postgresql+psycopg2://; for MySQL, run `pip "
                "install pymysql` and use an address that starts with mysql+pymysql://)"
            ) from error
        except SQLAlchemyError as error:
            first_line = masked(str(error).splitlines()[0])
            raise StudyError(f"the database of --study-url cannot be used: {first_line}") from error
    journal = str(folder / JOURNAL)
    return JournalStorage(JournalFileBackend(journal, lock_obj=JournalFileOpenLock(journal)))


def _proxy(url: str) -> BaseStorage:
    """Return a client of Optuna's gRPC storage proxy, which shares one database connection among many drivers."""
    address = urlsplit(url)
    try:
        host, port = address.hostname, address.port
    except ValueError:
        host = port = None
    if not host or not port:
        raise StudyError(f"--study-url {url} is not grpc://HOST:PORT")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        proxy = GrpcStorageProxy(host=host, port=port)
    try:
        proxy.wait_server_ready(timeout=_PROXY_TIMEOUT)
    except ConnectionError as error:
        raise StudyError(
            f"no Optuna gRPC storage proxy responds at --study-url {url}; start it with "
            "optuna.storages.run_grpc_proxy_server"
        ) from error
    return proxy


def storage_error_text(error: Exception) -> str:
    """Return one line that explains why a study's storage failed; Optuna's message wrongly blames the stored values."""
    if isinstance(error, RpcError):
        details: Callable[[], str] | None = getattr(error, "details", None)  # the base class has no `details`
        return f"the gRPC storage proxy failed: {(details() if details else str(error)).splitlines()[0]}"
    return masked(str(error.__cause__ or error).splitlines()[0])


def acquire_lock(folder: Path) -> int:
    """Lock a study against other drivers, clean up after a killed driver, and return the lock's file descriptor.

    The lock is released when the descriptor is closed or this process ends.

    Raises:
        StudyBusyError: another driver has the study open.
        OSError: the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        driver = os.read(lock, 32).decode() or "unknown"
        os.close(lock)
        raise StudyBusyError(
            f"another driver (process {driver}) is running the study {folder.name}; wait for it or stop it"
        ) from error
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    (folder / f"{JOURNAL}.lock").unlink(missing_ok=True)  # left by a driver that was killed while writing
    _drop_incomplete_entry(folder / JOURNAL)
    return lock


def _drop_incomplete_entry(journal: Path) -> None:
    """Remove an incomplete last line, to which Optuna would otherwise append its next entry.

    A full disk or a killed driver may leave such a line.
    """
    if not journal.exists():
        return
    with journal.open("r+b") as file:
        content = file.read()
        if not content.endswith(b"\n"):
            file.truncate(content.rfind(b"\n") + 1)
