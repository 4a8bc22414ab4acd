"""The studies of a service, in one database that drivers, commands and the arbiter share.

A driver reports every second and is considered dead if it has not done so for `MAX_SILENCE_SECONDS`. Each start of a
study has a number, and only the driver of the latest start may change the study.
"""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import URL, ColumnElement, and_, case, delete, insert, literal, or_, select, update
from sqlalchemy.exc import IntegrityError

from raygenre.errors import RaygenreError
from raygenre.studies.study import ENDED, Needs, Progress, State, Study
from raygenre.studies.table import limits, metadata, studies
from raygenre.system.database import Database, DatabaseKind, parse_url
from raygenre.system.location import is_url
from raygenre.system.storage import resolve

MAX_SILENCE_SECONDS = 30.0
MAX_START_SECONDS = 900.0  # s within which a driver must start; the same limit as for Ray's jobs
FILE = "studies.db"  # in the storage folder


class StudiesError(RaygenreError, RuntimeError):
    """The database of studies cannot be used, or a study's state does not allow what was requested."""


KIND = DatabaseKind(metadata, "the database of studies", "--study-url", StudiesError)


def open_store(storage: str | None, study_url: str | None, tracking_uri: str | None = None) -> "StudyStore":
    """Return the studies in the database at `study_url`, or otherwise those in the storage's folder.

    Raises:
        StudiesError: the URL is malformed, or missing although the storage is a URL.
        StorageError: the storage cannot be used.
    """
    if study_url and not study_url.startswith("grpc"):
        return StudyStore(parse_url(study_url, KIND))
    place = resolve(storage, tracking_uri)
    if is_url(str(place)):
        raise StudiesError(
            f"studies at {place} need a database; use --study-url postgresql+psycopg2://USER:PASSWORD@HOST/NAME, or "
            "set RAYGENRE_STUDY_URL"
        )
    return StudyStore(URL.create("sqlite", database=str(place.root / FILE)))


class StudyStore:
    """The studies in one database; the methods may be called from any thread. The first call creates the tables.

    Raises (all methods):
        StudiesError: the database cannot be used.
    """

    def __init__(self, url: URL) -> None:
        self.url = url
        self._database = Database(url, KIND)
        self._now = self._database.now

    def create(
        self, name: str, *, owner: str, request: str, storage: str, address: str, wishes: Mapping[str, Any]
    ) -> None:
        """Create a study, and queue it for its first driver.

        Args:
            wishes: values of the columns priority, max_concurrent and time_budget.

        Raises:
            StudiesError: a study with this name already exists.
        """
        values: dict[str, Any] = {"name": name, "owner": owner, "request": request, "storage": storage}
        values |= {
            "address": address,
            "state": "queued",
            "attempt": 1,
            "job": "",
            "scope": "",
            "phase": "",
            "study_id": "",
        }
        values |= dict.fromkeys(("state_at", "created_at", "heartbeat_at"), self._now)
        values |= dict.fromkeys(("places", "running", "completed", "pruned", "failed", "total"), 0)
        values |= dict.fromkeys(("cpus", "gpus", "cpu_seconds", "gpu_seconds"), 0.0)
        values |= {"objective": "", "errors": "[]", "error": "", "priority": 0} | dict(wishes)
        with self._database.transaction() as connection:
            try:
                connection.execute(insert(studies).values(values))
            except IntegrityError as error:
                raise StudiesError(
                    f"the study {name} already exists; choose another name with --study, or resume it with "
                    f"`raygenre studies resume {name}`"
                ) from error

    def all(self) -> list[Study]:
        """Mark studies as failed if their drivers have died, and return all studies, oldest first."""
        if not self._database.exists:
            return []
        self.sweep()
        with self._database.transaction() as connection:
            rows = connection.execute(self._rows().order_by(studies.c.created_at, studies.c.name)).all()
        return [Study(**row._mapping) for row in rows]

    def get(self, name: str) -> Study:
        """Return the study with this name.

        Raises:
            StudiesError: the study does not exist.
        """
        known = {study.name: study for study in self.all()}
        if name not in known:
            raise StudiesError(f"there is no study {name}; submitted studies: {', '.join(known) or 'none'}")
        return known[name]

    def note_job(self, name: str, attempt: int, job: str) -> None:
        """Record the job or process that runs the driver of this start."""
        self._change(_is_start(name, attempt), job=job)

    def start(self, name: str, attempt: int, *, job: str, scope: str) -> bool:
        """Record that the driver of this start is running; return False if the study is no longer waiting for it."""
        queued = and_(_is_start(name, attempt), studies.c.state == "queued")
        return self._change(queued, job=job, scope=scope, heartbeat_at=self._now)

    def report(
        self, name: str, attempt: int, *, needs: Needs, seconds: float, progress: Progress | None, facts: dict[str, Any]
    ) -> Study | None:
        """Record a driver's report, and return the study with its settings; None if another driver is running it.

        Args:
            seconds: time since the last report, in s.
            facts: values of other columns, such as `bytes`.
        """
        values: dict[str, Any] = {"heartbeat_at": self._now, **vars(needs), **facts}
        values["cpu_seconds"] = studies.c.cpu_seconds + needs.running * needs.cpus * seconds
        values["gpu_seconds"] = studies.c.gpu_seconds + needs.running * needs.gpus * seconds
        if progress:
            values |= {**vars(progress), "errors": json.dumps(progress.errors)}
        # A driver that was considered dead, although it was only slow, resumes its study.
        begins = or_(and_(studies.c.state == "queued", studies.c.granted > 0), studies.c.state == "failed")
        values["state_at"] = case((begins, self._now), else_=studies.c.state_at)
        values["state"] = case((begins, "running"), else_=studies.c.state)
        values["error"] = ""
        if not self._change(_is_start(name, attempt), **values):
            return None
        with self._database.transaction() as connection:
            row = connection.execute(self._rows().where(_is_start(name, attempt))).one_or_none()
        return None if row is None else Study(**row._mapping)

    def end(self, name: str, attempt: int, state: State, *, error: str = "") -> None:
        """Record how a driver has ended."""
        values: dict[str, Any] = {"phase": "", "places": 0, "running": 0, "granted": None, "seconds_left": None}
        self._change(_is_start(name, attempt), state=state, state_at=self._now, error=error, **values)

    def stop(self, name: str) -> State:
        """Ask the driver of a study to stop it, and return the study's state."""
        unfinished = and_(studies.c.name == name, studies.c.state.not_in(ENDED))
        state = case((studies.c.scope == "", "stopped"), else_="stopping")
        self._change(and_(unfinished, studies.c.state != "stopping"), state=state, state_at=self._now)
        return self.get(name).state

    def restart(self, name: str) -> int:
        """Queue an ended study for another driver, and return the number of the new start.

        Raises:
            StudiesError: the study has not ended.
        """
        ended = and_(studies.c.name == name, studies.c.state.in_(ENDED))
        values: dict[str, Any] = {
            "state": "queued",
            "state_at": self._now,
            "heartbeat_at": self._now,
            "job": "",
            "scope": "",
        }
        values |= {"attempt": studies.c.attempt + 1, "error": "", "granted": None}
        study = self.get(name)
        if not self._change(ended, **values):
            raise StudiesError(f"the study {name} is {study.state}; stop it first with `raygenre studies stop {name}`")
        return study.attempt + 1

    def change(self, name: str, **wishes: int | float | str | None) -> Study:
        """Change settings of a study: the columns priority, max_concurrent, trials, time_budget and address."""
        self.get(name)
        self._change(studies.c.name == name, **wishes)
        return self.get(name)

    def remove(self, name: str) -> None:
        """Remove an ended study from the service."""
        with self._database.transaction() as connection:
            connection.execute(delete(studies).where(studies.c.name == name, studies.c.state.in_(ENDED)))

    def sweep(self) -> None:
        """Mark studies as failed if their drivers have died."""
        silent = self._now - studies.c.heartbeat_at
        has_started = studies.c.scope != ""
        is_dead = or_(and_(has_started, silent > MAX_SILENCE_SECONDS), silent > MAX_START_SECONDS)
        error = case(
            (
                has_started,
                literal("its driver (") + studies.c.job + f") has not reported for {MAX_SILENCE_SECONDS:.0f} s",
            ),
            else_=f"its driver has not started within {MAX_START_SECONDS / 60:.0f} minutes",
        )
        values: dict[str, Any] = {"state": "failed", "state_at": self._now, "error": error, "running": 0, "places": 0}
        values |= {"granted": None, "seconds_left": None}
        self._change(and_(studies.c.state.not_in(ENDED), is_dead), **values)

    def limits(self) -> dict[str, int]:
        """Return the maximum number of places of each owner who has a limit; see `raygenre.studies.shares.EVERYONE`."""
        with self._database.transaction() as connection:
            return {row.owner: row.places for row in connection.execute(select(limits))}

    def limit(self, owner: str, places: int | None) -> None:
        """Limit the places of an owner's studies; None removes the limit."""
        with self._database.transaction() as connection:
            connection.execute(delete(limits).where(limits.c.owner == owner))
            if places is not None:
                connection.execute(insert(limits).values(owner=owner, places=places))

    def grant(self, granted: Mapping[str, int]) -> None:
        """Record the number of places that each study may use."""
        for name, places in granted.items():
            changed = or_(studies.c.granted.is_(None), studies.c.granted != places)
            self._change(and_(studies.c.name == name, studies.c.state.not_in(ENDED), changed), granted=places)

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def _rows(self) -> Any:
        return select(studies, self._now.label("now"))

    def _change(self, which: ColumnElement[bool], **values: Any) -> bool:
        with self._database.transaction() as connection:
            return connection.execute(update(studies).where(which).values(values)).rowcount > 0


def _is_start(name: str, attempt: int) -> ColumnElement[bool]:
    return and_(studies.c.name == name, studies.c.attempt == attempt)
