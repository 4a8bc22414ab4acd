"""The durable job queue shared by all replicas: SQLite on one machine, or PostgreSQL.

A replica claims a job for the duration of a lease and extends the lease while it works. If the replica dies, the lease
expires and another replica claims the job. Each claim has a token, and only the replica with the latest claim may
change the job. A job therefore cannot be finished twice if a slow replica loses its lease.
"""

import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import URL, Delete, Row, Update, case, delete, func, insert, select, tuple_, update

from raygenre.errors import RaygenreError
from serve.jobs.database import Database, JobStoreError
from serve.jobs.table import blocks, jobs

BLOCK = 1_000_000  # bytes of a file per row
MAX_RECEIVING_SECONDS = 3600  # seconds after which a job with incomplete files is deleted
_DELETED_AT_ONCE = 32  # blocks per transaction; with more, SQLite would keep other replicas from extending leases
_DELETED = "deleted"  # state of a row whose blocks are being deleted
FINISHED = ("done", "failed", _DELETED)


class FullError(RaygenreError):
    """The store has no space for another job.

    Attributes:
        is_too_many: whether the number of jobs, rather than their total size, has reached its limit.
    """

    def __init__(self, *, is_too_many: bool) -> None:
        super().__init__("too many jobs" if is_too_many else "too many bytes")
        self.is_too_many = is_too_many


@dataclass(frozen=True)
class Claim:
    """A job that this replica may work on until the lease expires.

    Attributes:
        id: id of the job.
        token: identifies this claim.
        request_id: id of the request that created the job.
        names: names of the files in a form; None if the body itself was the file.
        files: number of files.
        attempt: how many times the job or the callback has been started, including this time.
        callback: URL to notify if the claimed job has finished; otherwise empty.
    """

    id: str
    token: str
    request_id: str
    names: tuple[str, ...] | None
    files: int
    attempt: int
    callback: str


class JobStore:
    """The jobs in one database. The methods are thread-safe; the first call creates the tables.

    Args:
        url: URL of the database.
        keep_seconds: how long finished jobs are kept, in s.

    Raises (all methods):
        JobStoreError: the database cannot be used.
    """

    def __init__(self, url: URL, *, keep_seconds: float) -> None:
        self._database = Database(url)
        self._now = self._database.now
        self._keep_seconds = keep_seconds

    def create(self, request_id: str, names: Sequence[str] | None, sizes: Sequence[int], callback: str = "") -> str:
        """Create a job without its files and return its id; no replica can claim the job yet."""
        identity = uuid.uuid4().hex
        values: dict[str, Any] = {"id": identity, "request_id": request_id, "state": "queued", "token": ""}
        values |= {"names": None if names is None else json.dumps(names), "files": len(sizes), "bytes": sum(sizes)}
        values |= {"created_at": self._now, "expires_at": self._now + MAX_RECEIVING_SECONDS}
        values |= {"attempts": 0, "seconds": 0.0, "callback": callback or None, "callback_attempts": 0}
        with self._database.transaction() as connection:
            connection.execute(insert(jobs).values(values))
        return identity

    def check_room(self, size: int, *, max_jobs: int, max_bytes: int) -> None:
        """Check that the store has space for a job of the given size in bytes.

        Raises:
            FullError: there are too many unfinished jobs, or their files are too large in total.
        """
        query = select(func.count(), func.coalesce(func.sum(jobs.c.bytes), 0)).where(jobs.c.state.not_in(FINISHED))
        with self._database.transaction() as connection:
            number, stored = connection.execute(query).one()
        if number >= max_jobs:
            raise FullError(is_too_many=True)
        if stored + size > max_bytes:
            raise FullError(is_too_many=False)

    def unfinished(self) -> int:
        """Return the number of jobs that are waiting or running."""
        with self._database.transaction() as connection:
            query = select(func.count()).select_from(jobs).where(jobs.c.state.not_in(FINISHED))
            return connection.execute(query).scalar_one()

    def add_block(self, job: str, file: int, number: int, data: bytes) -> None:
        """Store a block of a file; files and blocks are numbered from 0."""
        with self._database.transaction() as connection:
            connection.execute(insert(blocks).values(job=job, file=file, number=number, data=data))

    def read(self, job: str, file: int) -> Iterator[bytes]:
        """Yield the blocks of a file."""
        number = 0
        while (data := self._block(job, file, number)) is not None:
            yield data
            number += 1

    def publish(self, job: str) -> None:
        """Mark the job's files as complete, so that a replica can claim the job."""
        self._change(update(jobs).where(jobs.c.id == job).values(due_at=self._now, expires_at=None))

    def get(self, job: str) -> Row[Any] | None:
        """Return the row of a job; None if the job does not exist."""
        with self._database.transaction() as connection:
            return connection.execute(select(jobs).where(jobs.c.id == job, jobs.c.state != _DELETED)).one_or_none()

    def delete(self, job: str) -> bool:
        """Delete a job and return whether it existed; a replica stops processing a deleted job."""
        mark = update(jobs).where(jobs.c.id == job, jobs.c.state != _DELETED)
        existed = self._change(mark.values(state=_DELETED, token="", due_at=None, expires_at=self._now))
        # The row is deleted last, so that `sweep` can finish the deletion if a replica is killed.
        self._delete_blocks(job)
        with self._database.transaction() as connection:
            connection.execute(delete(jobs).where(jobs.c.id == job))
        return existed

    def sweep(self) -> None:
        """Delete the jobs that have expired."""
        with self._database.transaction() as connection:
            expired = connection.scalars(select(jobs.c.id).where(jobs.c.expires_at <= self._now)).all()
        for job in expired:
            self.delete(job)

    def claim(self, lease: float, *, finished: bool = False) -> Claim | None:
        """Claim the longest-waiting job for `lease` seconds; return None if no job is due.

        Args:
            finished: whether to claim a finished job whose callback is due, instead of a job to process.
        """
        state = jobs.c.state.in_(FINISHED) if finished else jobs.c.state.not_in(FINISHED)
        due = select(jobs).where(state, jobs.c.due_at <= self._now).order_by(jobs.c.due_at).limit(1)
        changes: dict[str, Any] = {"token": uuid.uuid4().hex, "due_at": self._now + lease}
        if finished:
            changes |= {"callback_attempts": jobs.c.callback_attempts + 1}
        else:
            started = func.coalesce(jobs.c.started_at, self._now)
            changes |= {"state": "running", "started_at": started, "attempts": jobs.c.attempts + 1, "seconds": 0.0}
        with self._database.transaction() as connection:
            row = connection.execute(due.with_for_update(skip_locked=True)).one_or_none()
            if row is None:
                return None
            connection.execute(update(jobs).where(jobs.c.id == row.id).values(changes))
        names = None if row.names is None else tuple(json.loads(row.names))
        attempt = 1 + (row.callback_attempts if finished else row.attempts)
        callback = row.callback if finished else ""
        return Claim(row.id, changes["token"], row.request_id, names, row.files, attempt, callback)

    def extend(self, claim: Claim, lease: float, seconds: float | None = None) -> bool:
        """Extend a lease; return False if the job was deleted or another replica has claimed it.

        Args:
            seconds: audio decoded so far, in s.
        """
        changes = {"due_at": self._now + lease} | ({} if seconds is None else {"seconds": seconds})
        return self._change(_claimed(claim).values(changes))

    def release(self, claim: Claim, *, delay: float = 0, uncount: bool = False) -> None:
        """Release a job, so that it can be claimed again after `delay` s.

        Args:
            uncount: True if this attempt must not count, because something other than the job interrupted it.
        """
        changes: dict[str, Any] = {"token": "", "due_at": self._now + delay}
        column = jobs.c.callback_attempts if claim.callback else jobs.c.attempts
        if uncount:
            changes[column.name] = column - 1
        if not claim.callback:
            changes["state"] = "queued"
        self._change(_claimed(claim).values(changes))

    def finish(self, claim: Claim, *, seconds: float = 0, result: str | None = None, error: str | None = None) -> bool:
        """Store the result or the error of a job as JSON, and delete its files.

        Returns:
            True if the result or error was stored; False if the job was deleted or another replica has claimed it.
        """
        changes: dict[str, Any] = {
            "state": "failed" if result is None else "done",
            "result": result,
            "error": error,
            "bytes": 0,
        }
        changes |= {"finished_at": self._now, "expires_at": self._now + self._keep_seconds, "seconds": seconds}
        changes["token"] = ""
        changes["due_at"] = case((jobs.c.callback.is_not(None), self._now), else_=None)
        with self._database.transaction() as connection:
            if not connection.execute(_claimed(claim).values(changes)).rowcount:
                return False
        with suppress(JobStoreError):  # the result is stored; when the job expires, `sweep` deletes remaining blocks
            self._delete_blocks(claim.id)
        return True

    def end_callback(self, claim: Claim) -> None:
        """Record that a finished job needs no further callback."""
        self._change(_claimed(claim).values(token="", due_at=None))

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def _block(self, job: str, file: int, number: int) -> bytes | None:
        query = select(blocks.c.data).where(blocks.c.job == job, blocks.c.file == file, blocks.c.number == number)
        with self._database.transaction() as connection:
            return connection.execute(query).scalar_one_or_none()

    def _delete_blocks(self, job: str) -> None:
        some = select(blocks.c.file, blocks.c.number).where(blocks.c.job == job).limit(_DELETED_AT_ONCE)
        place = tuple_(blocks.c.file, blocks.c.number)
        while self._change(delete(blocks).where(blocks.c.job == job, place.in_(some))):
            pass

    def _change(self, statement: Update | Delete) -> bool:
        with self._database.transaction() as connection:
            return connection.execute(statement).rowcount > 0


def _claimed(claim: Claim) -> Update:
    return update(jobs).where(jobs.c.id == claim.id, jobs.c.token == claim.token)
