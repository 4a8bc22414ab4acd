"""The folder of a study: its name, the lock that keeps a second driver out, and Optuna's storage in it."""

import fcntl
import os
import re
from pathlib import Path
from typing import Any

from optuna.exceptions import OptunaError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from sqlalchemy.exc import SQLAlchemyError

from raygenre.errors import RaygenreError
from raygenre.system.location import Location
from raygenre.system.redaction import masked

JOURNAL = "journal.log"
LOCKED_SECONDS = 120  # s that a database may be locked by another process


class StudyError(RaygenreError, ValueError):
    """A study cannot be opened as asked; the message says what to do."""


class StudyBusyError(StudyError):
    """Another driver works on the study."""


def latest_study(studies: Location) -> str:
    """Return the name of the study that was begun or resumed last on this machine.

    Raises:
        StudyError: there is none, or they are kept at a URL, where nobody knows.
    """
    if studies.remote:
        raise StudyError(f"name the study with --study; {studies} has {', '.join(studies.names()) or 'none'}")
    begun = [path for path in studies.folder.glob("*/lock") if path.with_name("run.yaml").exists()]
    locks = sorted(begun, key=lambda path: path.stat().st_mtime)
    if not locks:
        raise StudyError(f"there is no study in {studies} to resume")
    return locks[-1].parent.name


def storage(folder: Path, url: str | None) -> BaseStorage:
    """Optuna's storage of a study: a database, or the journal in the study's folder.

    Raises:
        StudyError: there is no such database, or no driver for its kind.
    """
    if url:
        # SQLite gives up after five seconds by default if another process, such as a backup, has the file locked.
        wait: dict[str, Any] = {"connect_args": {"timeout": LOCKED_SECONDS}}
        # A server that was started again has closed its connections: each is tried before it is used.
        kept: dict[str, Any] = wait if url.startswith("sqlite") else {"pool_pre_ping": True}
        try:
            return RDBStorage(url, engine_kwargs=kept)
        except ImportError as error:
            raise StudyError(
                f"the database of --study-url cannot be used: {error} (PostgreSQL needs `pip install "
                "'raygenre[servers]'` and an address that begins with postgresql+psycopg2://, MySQL `pip install "
                "pymysql` and mysql+pymysql://)"
            ) from error
        except SQLAlchemyError as error:
            first = masked(str(error).splitlines()[0])
            raise StudyError(f"the database of --study-url cannot be used: {first}") from error
    journal = str(folder / JOURNAL)
    return JournalStorage(JournalFileBackend(journal, lock_obj=JournalFileOpenLock(journal)))


def trouble(error: OptunaError) -> str:
    """Say in a line what a study's storage suffers from; Optuna itself suspects values that do not fit."""
    return masked(str(error.__cause__ or error).splitlines()[0])


def locked(folder: Path) -> int:
    """Keep other drivers out, and mend what they left; the lock goes with this process however it ends.

    Raises:
        StudyBusyError: another driver works on the study.
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        driver = os.read(lock, 32).decode() or "unknown"
        os.close(lock)
        raise StudyBusyError(
            f"another driver (process {driver}) works on the study {folder.name}; wait for it or end it"
        ) from error
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    (folder / f"{JOURNAL}.lock").unlink(missing_ok=True)  # of a driver that was killed as it wrote
    _mend(folder / JOURNAL)
    return lock


def _mend(journal: Path) -> None:
    """Take away an entry that a full disk or a kill cut short: Optuna would write the next one into the same line."""
    if not journal.exists():
        return
    with journal.open("r+b") as file:
        whole = file.read()
        if not whole.endswith(b"\n"):
            file.truncate(whole.rfind(b"\n") + 1)


def check_name(name: str) -> None:
    """Refuse what is unfit for a study's name and folder."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise StudyError(
            f"a study's name is made of letters, digits, '.', '_' and '-', at most 100 of them, not {name!r}"
        )
