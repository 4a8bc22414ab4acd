"""One driver a study where no file's lock reaches: an advisory lock of PostgreSQL, which ends with its connection.

A driver that is killed gives it up at once; one whose machine is gone, when the database has missed its answers for
some 40 s. For that long another driver waits. Behind a pooler that shares connections, such as PgBouncer's transaction
mode, such locks mean nothing.
"""

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from raygenre.search.study.backend import StudyBusyError, StudyError
from raygenre.system.redaction import masked

PATIENCE = 60.0  # s
_KEEPALIVES = "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"


def check(url: str) -> None:
    """See whether a database has such locks.

    Raises:
        StudyError: it is no PostgreSQL.
    """
    if not url.startswith("postgresql"):
        raise StudyError(
            "a study at a URL has its trials and its lock in PostgreSQL; give --study-url postgresql+psycopg2://..."
            + (f", not {masked(url)}" if url else "")
        )


@contextmanager
def held(url: str, study: str, *, patience: float = PATIENCE) -> Iterator[None]:
    """Keep other drivers out of a study of a database.

    Raises:
        StudyBusyError: another driver has it.
        StudyError: the database cannot be used.
    """
    key = int.from_bytes(hashlib.sha256(study.encode()).digest()[:8], signed=True)
    engine = create_engine(url, poolclass=NullPool, connect_args={"options": _KEEPALIVES})
    try:
        # Outside of transactions: one that stays open for days would keep the database from tidying up.
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            until = time.monotonic() + patience
            while not connection.scalar(text("select pg_try_advisory_lock(:key)"), {"key": key}):
                if time.monotonic() > until:
                    raise StudyBusyError(f"another driver works on the study {study}; wait for it or end it")
                time.sleep(0.5)
            yield
    except SQLAlchemyError as error:
        raise StudyError(f"the database of --study-url cannot be used: {masked(str(error).splitlines()[0])}") from error
