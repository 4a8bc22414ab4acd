"""Transactions in the database of jobs: SQLite or PostgreSQL."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Double,
    Engine,
    create_engine,
    event,
    literal_column,
    make_url,
)
from sqlalchemy.exc import SQLAlchemyError

from raygenre.errors import RaygenreError
from raygenre.system.redaction import masked
from raygenre.system.storage import resolve
from serve.jobs.table import metadata
from serve.settings import Settings

FILE = "jobs.db"  # in the storage folder
BUSY_SECONDS = 30  # s for which a transaction waits for another one in SQLite


class JobStoreError(RaygenreError, RuntimeError):
    """The database of jobs cannot be used; the message says why."""


def database_url(settings: Settings) -> URL:
    """Return the URL of the database of jobs.

    Raises:
        JobStoreError: the URL is malformed.
    """
    text = settings.jobs_database.get_secret_value()
    if not text:
        storage = resolve(settings.storage, settings.tracking_uri)
        return URL.create("sqlite", database=str(storage.root / FILE))
    try:
        return make_url(text)
    except (SQLAlchemyError, ValueError) as error:
        example = "postgresql+psycopg2://USER:PASSWORD@HOST/NAME"
        raise JobStoreError(f"RAYGENRE_JOBS_DATABASE is not the URL of a database, such as {example}") from error


class Database:
    """A database; its methods may be called from any thread. The first transaction creates the tables.

    Attributes:
        now: the expression for the time of the database, in s since 1970.

    Raises (all methods):
        JobStoreError: the database cannot be used.
    """

    def __init__(self, url: URL) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._is_ready = False
        with self._errors():
            self._engine = _engine(url)
        self.now: ColumnElement[float] = literal_column(
            "((julianday('now') - 2440587.5) * 86400.0)"
            if self._is_sqlite
            else "cast(extract(epoch from clock_timestamp()) as double precision)",
            Double,
        )

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Yield a connection for one transaction, which is committed at the end of this context."""
        with self._errors():
            self._create_tables()
            with self._engine.begin() as connection:
                yield connection

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @property
    def _is_sqlite(self) -> bool:
        return self._engine.dialect.name == "sqlite"

    def _create_tables(self) -> None:
        with self._lock:
            if not self._is_ready:
                if self._is_sqlite and self._url.database:
                    Path(self._url.database).parent.mkdir(parents=True, exist_ok=True)
                try:
                    metadata.create_all(self._engine)
                except SQLAlchemyError:  # maybe another replica has created them at the same time
                    metadata.create_all(self._engine)
                self._is_ready = True

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, ImportError, OSError) as error:
            reason = masked(str(error).splitlines()[0])
            place = f"{self._url!s} (RAYGENRE_JOBS_DATABASE)"  # without the password
            raise JobStoreError(f"the database of jobs, {place}, cannot be used: {reason}") from error


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _set_up_sqlite)
    # A transaction that reads first and writes later could otherwise fail instead of waiting for another one.
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _set_up_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions start only with the event above
    connection.execute("PRAGMA auto_vacuum = FULL")  # the file shrinks when the files of a job are deleted
    connection.execute("PRAGMA journal_mode = WAL")  # fewer flushes to disk
