"""The database of jobs: SQLite or PostgreSQL."""

from sqlalchemy import URL

from raygenre.errors import RaygenreError
from raygenre.system import database
from raygenre.system.database import DatabaseKind, parse_url
from raygenre.system.storage import resolve
from serve.jobs.table import metadata
from serve.settings import Settings

FILE = "jobs.db"  # in the storage folder


class JobStoreError(RaygenreError, RuntimeError):
    """The jobs database cannot be used; the message states the reason."""


_KIND = DatabaseKind(
    metadata,
    "the database of jobs",
    "RAYGENRE_JOBS_DATABASE",
    JobStoreError,
    # The first setting shrinks the database file when a job's files are deleted. The second setting reduces the number
    # of flushes to disk.
    ("auto_vacuum = FULL", "journal_mode = WAL"),
)


def database_url(settings: Settings) -> URL:
    """Return the URL of the jobs database.

    Raises:
        JobStoreError: the URL is malformed.
    """
    text = settings.jobs_database.get_secret_value()
    if not text:
        storage = resolve(settings.storage, settings.tracking_uri)
        return URL.create("sqlite", database=str(storage.root / FILE))
    return parse_url(text, _KIND)


class Database(database.Database):
    """The database of jobs.

    Raises (all methods):
        JobStoreError: the database cannot be used.
    """

    def __init__(self, url: URL) -> None:
        super().__init__(url, _KIND)
