"""The tables of jobs, and connections to the database that holds them.

A job is a row, and its files are rows of blocks, so that one database is all that replicas have to share. All times are
those of the database, in s since 1970, because the clocks of machines differ.
"""

from typing import Any

from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    ColumnElement,
    Double,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    literal_column,
)

BUSY_SECONDS = 30  # s for which a transaction waits for another one in SQLite

metadata = MetaData()
jobs = Table(
    "raygenre_jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("request_id", String(100), nullable=False),
    Column("state", String(10), nullable=False),
    Column("names", Text),  # JSON: the names of a form's files; null if the body is the file
    Column("files", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),  # of the files, which are deleted when the job finishes
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("expires_at", Double, index=True),  # when the row is deleted
    Column("due_at", Double, index=True),  # when a replica may claim it; null if there is nothing to do
    Column("token", String(32), nullable=False),  # of the last claim; only its replica may change the job
    Column("attempts", Integer, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("result", Text),
    Column("error", Text),
    Column("callback", Text),
    Column("callback_attempts", Integer, nullable=False),
)
blocks = Table(
    "raygenre_job_blocks",
    metadata,
    Column("job", String(32), primary_key=True),
    Column("file", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)


def connect(url: URL) -> Engine:
    """Return an engine for a database, without connecting to it.

    Raises:
        SQLAlchemyError: there is no such kind of database.
        ImportError: the database's driver is not installed.
    """
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _set_up_sqlite)
    # A transaction that reads first and writes later could otherwise fail instead of waiting for another one.
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def now(engine: Engine) -> ColumnElement[float]:
    """Return the expression for the time of the database."""
    if engine.dialect.name == "sqlite":
        return literal_column("((julianday('now') - 2440587.5) * 86400.0)", Double)
    return literal_column("cast(extract(epoch from clock_timestamp()) as double precision)", Double)


def _set_up_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions start only with the event above
    connection.execute("PRAGMA auto_vacuum = FULL")  # the file shrinks when the files of a job are deleted
    connection.execute("PRAGMA journal_mode = WAL")  # fewer flushes to disk
