"""A study lock for drivers without a shared folder: an advisory lock in PostgreSQL.

The lock is released when its connection ends: immediately if the driver is killed, or after about 40 s without TCP
keepalive responses if its machine fails. A second driver waits longer than that before it gives up. The lock does not
work through a pooler that shares connections, such as PgBouncer in transaction mode.
"""

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from raygenre.search.study.backend import StudyBusyError, StudyError
from raygenre.system.redaction import masked

TIMEOUT = 60.0  # s
_KEEPALIVES = "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"


def check_url(url: str) -> None:
    """Check that a database supports advisory locks.

    Raises:
        StudyError: the database is not PostgreSQL.
    """
    if not url.startswith("postgresql"):
        raise StudyError(
            "a study at a URL needs PostgreSQL for its trials and its lock; use --study-url postgresql+psycopg2://..."
            + (f", not {masked(url)}" if url else "")
        )


@contextmanager
def study_lock(url: str, study: str, *, timeout: float = TIMEOUT) -> Iterator[None]:
    """Lock the study of this name in the database against other drivers.

    Raises:
        StudyBusyError: another driver still holds the lock after `timeout` s.
        StudyError: the database cannot be used.
    """
    key = int.from_bytes(hashlib.sha256(study.encode()).digest()[:8], signed=True)
    engine = create_engine(url, poolclass=NullPool, connect_args={"options": _KEEPALIVES})
    try:
        # A transaction that stays open for days would prevent the database from vacuuming, so no transaction is used.
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            deadline = time.monotonic() + timeout
            while not connection.scalar(text("select pg_try_advisory_lock(:key)"), {"key": key}):
                if time.monotonic() > deadline:
                    raise StudyBusyError(f"another driver is running the study {study}; wait for it or stop it")
                time.sleep(0.5)
            yield
    except SQLAlchemyError as error:
        raise StudyError(f"the database of --study-url cannot be used: {masked(str(error).splitlines()[0])}") from error
