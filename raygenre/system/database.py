"""Transactions in an SQLite or PostgreSQL database that holds our own tables.

All times in these tables are in s since 1970. They come from the database's clock, because machines' clocks differ.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Double,
    Engine,
    MetaData,
    create_engine,
    event,
    literal_column,
    make_url,
)
from sqlalchemy.exc import SQLAlchemyError

from raygenre.errors import RaygenreError
from raygenre.system.redaction import masked

BUSY_SECONDS = 30  # s that an SQLite transaction waits for another transaction to end
_TIMEOUTS = {"connect_timeout": 10, "tcp_user_timeout": 30_000}  # of PostgreSQL's library, in s and ms


@dataclass(frozen=True)
class DatabaseKind:
    """The tables of a database, its description in messages, and the error that its methods raise.

    Attributes:
        tables: the tables, which the first transaction creates.
        name: how messages refer to the database, such as `the database of jobs`.
        setting: the option or variable that contains the database's URL, for messages.
        error: function that returns the error to raise, given its message.
        pragmas: SQLite's settings.
    """

    tables: MetaData
    name: str
    setting: str
    error: Callable[[str], RaygenreError]
    pragmas: tuple[str, ...] = ()


def parse_url(text: str, kind: DatabaseKind) -> URL:
    """Parse the URL of a database; if it is malformed, raise `kind.error`."""
    try:
        return make_url(text)
    except (SQLAlchemyError, ValueError) as error:
        example = "postgresql+psycopg2://USER:PASSWORD@HOST/NAME"
        raise kind.error(f"{kind.setting} is not the URL of a database, such as {example}") from error


class Database:
    """A database; its methods may be called from any thread. The first transaction creates the tables.

    All methods raise `kind.error` if the database cannot be used.

    Attributes:
        now: the expression for the database's current time, in s since 1970.
    """

    def __init__(self, url: URL, kind: DatabaseKind) -> None:
        self._url = url
        self._kind = kind
        self._lock = threading.Lock()
        self._is_ready = False
        with self._errors():
            self._engine = _engine(url, kind.pragmas)
        self.now: ColumnElement[float] = literal_column(
            "((julianday('now') - 2440587.5) * 86400.0)"
            if self._is_sqlite
            else "cast(extract(epoch from clock_timestamp()) as double precision)",
            Double,
        )

    @property
    def exists(self) -> bool:
        """False if the database is a file that the first transaction would create."""
        return not self._is_sqlite or not self._url.database or Path(self._url.database).exists()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Yield a connection for one transaction, which is committed when the context exits."""
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
                    self._kind.tables.create_all(self._engine)
                except SQLAlchemyError:  # another process may have created the tables at the same time
                    self._kind.tables.create_all(self._engine)
                self._is_ready = True

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, ImportError, OSError) as error:
            reason = masked(str(error).splitlines()[0])
            place = f"{self._url!s} ({self._kind.setting})"  # without the password
            raise self._kind.error(f"{self._kind.name}, {place}, cannot be used: {reason}") from error


def _engine(url: URL, pragmas: tuple[str, ...]) -> Engine:
    if url.get_backend_name() != "sqlite":
        is_libpq = url.get_driver_name() in ("psycopg2", "psycopg")
        timeouts = {name: limit for name, limit in _TIMEOUTS.items() if is_libpq and name not in url.query}
        return create_engine(url, pool_pre_ping=True, connect_args=timeouts)
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})

    def set_up(connection: Any, _: object) -> None:
        connection.isolation_level = None  # sqlite3 itself starts no transactions; the event below does
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    event.listen(engine, "connect", set_up)
    # Otherwise, a transaction that first reads and later writes could fail instead of waiting for another transaction.
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine
