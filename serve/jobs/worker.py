"""Processes the jobs in the store, one at a time per replica, and sends their callbacks."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import NoReturn

from raygenre.inputs.kind import InputKind, Song
from serve.admission.bodies import Content, Incoming, Reservation
from serve.admission.uploaded_file import UploadedFile
from serve.errors import RefusalError
from serve.inference.decoder_pool import DecoderPool
from serve.jobs import callback
from serve.jobs.callback import CallbackError
from serve.jobs.database import JobStoreError
from serve.jobs.not_started import NotStartedError, starting
from serve.jobs.schema import JobError
from serve.jobs.settings import JobLimits
from serve.jobs.store import Claim, JobStore
from serve.jobs.threads import Threads
from serve.monitoring import logs
from serve.schema import Answer, Answers
from serve.service import Service
from serve.web import outcomes

POLL_SECONDS = 1.0
SWEEP_SECONDS = 60.0
MAX_ATTEMPTS = 3  # so that a file that kills replicas, for example by exhausting their memory, is not retried forever
RETRY_SECONDS = 10.0
MAX_CALLBACK_ATTEMPTS = 8  # spread over 20 minutes, because the delay doubles each time


class _Progress:
    """The progress of a job.

    Attributes:
        seconds: duration of the audio decoded so far, in s.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        self.seconds += seconds


_Work = Callable[[Claim, _Progress], Awaitable[None]]


class Worker:
    """Processes jobs in one replica.

    Each job has its own decoder process, so it does not occupy the decoders that serve requests. A job's windows share
    the network's batches with the windows of requests.

    Args:
        render: function that takes the id of a finished job and returns the job as JSON, or None if the job was
            deleted.

    Attributes:
        created: event to set when a job has been created, so that the job starts at once.
    """

    def __init__(
        self,
        service: Service,
        store: JobStore,
        threads: Threads,
        limits: JobLimits,
        render: Callable[[str], str | None],
    ) -> None:
        self._service = service
        self._store = store
        self._threads = threads
        self._render = render
        self._lease = service.settings.job_lease_seconds
        self._hosts = service.settings.allowed_callback_hosts
        self._limits = limits
        self._last_error = ""
        self.created = asyncio.Event()

    async def run(self) -> NoReturn:
        """Process jobs until cancelled; jobs in progress are then released for other replicas."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat(self._work, finished=False))
            group.create_task(self._repeat(self._call_back, finished=True))
            group.create_task(self._sweep())
        raise AssertionError("the loops end only when they are cancelled")

    async def _repeat(self, work: _Work, *, finished: bool) -> None:
        while True:
            try:
                claim = await self._threads.run(self._store.claim, self._lease, finished=finished)
                if claim:
                    await self._under_lease(claim, work)
                    continue
            except JobStoreError as error:
                self._log_once(error)
            except Exception as bug:  # noqa: BLE001 (a bug must not prevent the processing of later jobs)
                logs.error("jobs interrupted", bug)
            if finished:
                await asyncio.sleep(POLL_SECONDS)
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await self.created.wait()
                self.created.clear()

    async def _under_lease(self, claim: Claim, work: _Work) -> None:
        """Work on a job and extend its lease; stop when the lease is lost."""
        progress = _Progress()
        task = asyncio.ensure_future(work(claim, progress))
        try:
            while not (await asyncio.wait({task}, timeout=self._lease / 4))[0]:
                if not await self._extend(claim, progress):
                    self._stopped(claim)
                    return
            await task
        except asyncio.CancelledError:  # the replica is shutting down
            with suppress(JobStoreError):
                await self._threads.run(self._store.release, claim, uncount=True)
            raise
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _extend(self, claim: Claim, progress: _Progress) -> bool:
        seconds = None if claim.callback else progress.seconds
        try:
            return await self._threads.run_lease(self._store.extend, claim, self._lease, seconds)
        except JobStoreError as error:  # the database may become available again before the lease expires
            self._log_once(error)
            return True

    async def _work(self, claim: Claim, progress: _Progress) -> None:
        result, error = None, None
        try:
            if claim.attempt > MAX_ATTEMPTS:
                raise RefusalError(503, f"{MAX_ATTEMPTS} replicas stopped while processing this job; send an MP3")
            result = await self._answer(claim, progress)
        except RefusalError as refusal:
            is_attempt = not isinstance(refusal, NotStartedError)
            if not is_attempt or (refusal.status == 503 and claim.attempt < MAX_ATTEMPTS):
                delay = RETRY_SECONDS * (claim.attempt if is_attempt else 1)
                await self._threads.run(self._store.release, claim, delay=delay, uncount=not is_attempt)
                self._log(claim, "retried", reason=refusal.detail)
                return
            error = JobError(status=refusal.status, detail=refusal.detail, errors=refusal.errors)
        except JobStoreError:
            raise
        except Exception as bug:  # noqa: BLE001 (a bug must fail only its own job, not all later jobs)
            logs.error("job failed", bug, job=claim.id, request_id=claim.request_id)
            error = JobError(status=500, detail="internal error; the log has a traceback for this job")
        if await self._finish(claim, progress.seconds, result, error):
            self._log(claim, "done" if result else "failed", seconds=round(progress.seconds, 1))
        else:
            self._stopped(claim)

    async def _finish(
        self, claim: Claim, seconds: float, result: Answer | Answers | None, error: JobError | None
    ) -> bool:
        """Do the same as `JobStore.finish`, but wait until the database is available."""
        texts = [outcome.model_dump_json() if outcome else None for outcome in (result, error)]
        while True:
            try:
                return await self._threads.run(
                    self._store.finish, claim, seconds=seconds, result=texts[0], error=texts[1]
                )
            except JobStoreError as unavailable:
                self._log_once(unavailable)
            await asyncio.sleep(POLL_SECONDS)

    async def _answer(self, claim: Claim, progress: _Progress) -> Answer | Answers:
        service = self._service
        with starting():
            champion, challenger = service.models.choose("")
        results: list[Answer | RefusalError] = []
        decoders = DecoderPool(1, service.metrics, self._limits)

        def read(data: Content, kind: InputKind) -> Awaitable[Song]:
            # The file is read again if the challenger needs a different input.
            return decoders.song(data, progress.add if kind is champion.input else lambda seconds: None, kind)

        try:
            with service.bodies.reservation() as reservation:
                with starting():
                    files = await self._load(claim, reservation)
                for file in files:  # sequentially, because a job has only one decoder
                    try:
                        results.append(await service.answer_file(file, champion, challenger, claim.request_id, read))
                    except RefusalError as error:
                        if error.status == 503:
                            raise
                        service.metrics.refused_file(error.status)
                        results.append(error)
        finally:
            await self._threads.run(decoders.close)
        return outcomes.response_of(files, results, Answers, is_form=claim.names is not None)

    async def _load(self, claim: Claim, reservation: Reservation) -> Sequence[UploadedFile]:
        files = []
        for number in range(claim.files):
            incoming = Incoming(reservation)
            blocks = self._store.read(claim.id, number)
            while (block := await self._threads.run(next, blocks, None)) is not None:
                await incoming.append(block)
            name = claim.names[number] if claim.names else ""
            files.append(UploadedFile(name, await incoming.finish()))
        return files

    async def _call_back(self, claim: Claim, _: _Progress) -> None:
        body = await self._threads.run(self._render, claim.id)
        if body is None:
            return
        try:
            await self._threads.run(callback.send, claim.callback, body.encode(), self._hosts)
        except CallbackError as error:
            logs.warning("callback failed", job=claim.id, attempt=claim.attempt, reason=str(error))
            if claim.attempt < MAX_CALLBACK_ATTEMPTS:
                delay = RETRY_SECONDS * 2 ** (claim.attempt - 1)
                await self._threads.run(self._store.release, claim, delay=delay)
                return
        await self._threads.run(self._store.end_callback, claim)

    async def _sweep(self) -> None:
        while True:
            try:
                await self._threads.run(self._store.sweep)
                self._service.metrics.unfinished_jobs(await self._threads.run(self._store.unfinished))
            except JobStoreError as error:
                self._log_once(error)
            await asyncio.sleep(SWEEP_SECONDS)

    def _log(self, claim: Claim, outcome: str, **facts: object) -> None:
        self._service.metrics.job(outcome)
        logs.info("job", job=claim.id, request_id=claim.request_id, outcome=outcome, attempt=claim.attempt, **facts)

    def _stopped(self, claim: Claim) -> None:
        """Log that the job was deleted or claimed by another replica."""
        self._log(claim, "stopped")

    def _log_once(self, error: JobStoreError) -> None:
        if self._last_error != str(error):
            logs.warning("jobs unavailable", reason=str(error))
        self._last_error = str(error)
