"""Accepts, shows and deletes jobs."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Row

from serve.admission.bodies import blocks_of, size_of
from serve.admission.uploaded_file import UploadedFile
from serve.errors import RefusalError
from serve.jobs import callback
from serve.jobs.database import JobStoreError, database_url
from serve.jobs.schema import Job, JobError
from serve.jobs.settings import job_limits
from serve.jobs.store import BLOCK, FullError, JobStore
from serve.jobs.threads import Threads
from serve.jobs.worker import Worker
from serve.monitoring import logs
from serve.schema import Answer, Answers
from serve.service import Service

T = TypeVar("T")


class Jobs:
    """The jobs that a replica accepts and processes.

    All methods raise a RefusalError: 404 if the endpoint does not accept jobs, 503 if the jobs database cannot be used.

    Attributes:
        limits: the limits on the body and the audio of a job.
    """

    def __init__(self, service: Service) -> None:
        self._settings = service.settings
        self.limits = job_limits(service.settings)
        self._store = JobStore(database_url(service.settings), keep_seconds=service.settings.keep_jobs_seconds)
        self._threads = Threads()
        self._worker = Worker(service, self._store, self._threads, self.limits, self._render)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Process jobs for the duration of this context."""
        if not self._settings.jobs:
            yield
            return
        task = asyncio.create_task(self._worker.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._threads.close()
            self._store.close()

    async def check(self, callback_url: str) -> None:
        """Check that a job can be accepted, before its body is read.

        Raises:
            RefusalError: 422 if the callback is not allowed, 429 or 503 if the store is full.
        """
        if callback_url:
            try:
                callback.check_url(callback_url, self._settings.allowed_callback_hosts)
            except callback.CallbackError as error:
                raise RefusalError(422, str(error)) from error
        await self._run(lambda: self._check_room(0))

    async def create(self, files: Sequence[UploadedFile], *, is_form: bool, callback_url: str, request_id: str) -> Job:
        """Store a job and return it.

        Raises:
            RefusalError: 429 or 503 if the store is full.
        """
        names = [file.name for file in files] if is_form else None
        job = await self._run(lambda: self._create(files, names, callback_url, request_id))
        self._worker.created.set()
        return job

    async def get(self, identity: str) -> Job:
        """Return a job.

        Raises:
            RefusalError: 404 if the job does not exist.
        """
        row = await self._run(lambda: self._store.get(identity))
        if row is None:
            raise _missing()
        return _job(row)

    async def delete(self, identity: str) -> None:
        """Delete a job, and stop processing it.

        Raises:
            RefusalError: 404 if the job does not exist.
        """
        if not await self._run(lambda: self._store.delete(identity)):
            raise _missing()

    async def _run(self, work: Callable[[], T]) -> T:
        if not self._settings.jobs:
            raise RefusalError(404, "this endpoint does not accept jobs (RAYGENRE_JOBS)")
        try:
            return await self._threads.run(work)
        except JobStoreError as error:
            logs.error("job store", error)
            raise self.limits.unavailable("jobs cannot be stored at the moment; retry later") from error

    def _check_room(self, size: int) -> None:
        settings = self._settings
        try:
            self._store.check_room(size, max_jobs=settings.most_jobs, max_bytes=settings.most_jobs_bytes)
        except FullError as error:
            if error.is_too_many:
                detail = "too many jobs are waiting (RAYGENRE_MOST_JOBS); retry later"
                raise self.limits.too_many(detail, close=True) from error
            raise self.limits.unavailable(
                "there is no space for more jobs at the moment (RAYGENRE_MOST_JOBS_BYTES); retry later"
            ) from error

    def _create(
        self, files: Sequence[UploadedFile], names: Sequence[str] | None, callback_url: str, request_id: str
    ) -> Job:
        sizes = [size_of(file.data) for file in files]
        self._check_room(sum(sizes))
        identity = self._store.create(request_id, names, sizes, callback_url)
        try:
            for index, file in enumerate(files):
                for number, block in enumerate(blocks_of(file.data, BLOCK)):
                    self._store.add_block(identity, index, number, block)
            self._store.publish(identity)
            row = self._store.get(identity)
        except BaseException:
            with suppress(JobStoreError):
                self._store.delete(identity)
            raise
        if row is None:
            raise _missing()
        return _job(row)

    def _render(self, identity: str) -> str | None:
        row = self._store.get(identity)
        return _job(row).model_dump_json() if row else None


def _missing() -> RefusalError:
    return RefusalError(404, "there is no such job; it may have expired (RAYGENRE_KEEP_JOBS_SECONDS) or been deleted")


def _job(row: Row[Any]) -> Job:
    is_form = row.names is not None
    result = row.result and (Answers if is_form else Answer).model_validate_json(row.result)
    return Job(
        id=row.id,
        status=row.state,
        created_at=_time(row.created_at),
        started_at=row.started_at and _time(row.started_at),
        finished_at=row.finished_at and _time(row.finished_at),
        expires_at=row.expires_at and _time(row.expires_at),
        seconds=row.seconds,
        result=result,
        error=row.error and JobError.model_validate_json(row.error),
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
