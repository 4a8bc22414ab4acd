"""Jobs in this process while the database is slow or unavailable, or a replica has no space for files."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL

from raygenre.system.storage import Storage
from serve.admission.api_keys import Keys
from serve.admission.uploaded_file import UploadedFile
from serve.jobs import worker
from serve.jobs.database import JobStoreError
from serve.jobs.jobs import Jobs
from serve.jobs.store import JobStore
from serve.monitoring import logs
from serve.service import Service
from serve.settings import Settings


@pytest.fixture
def url(tmp_path: Path) -> URL:
    return URL.create("sqlite", database=str(tmp_path / "jobs.db"))


@pytest.fixture
def service(storage: Storage, tmp_path: Path, url: URL, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.setattr(worker, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(worker, "RETRY_SECONDS", 0.0)
    settings: dict[str, Any] = {"storage": str(storage.root), "upload_folder": tmp_path, "jobs_database": str(url)}
    settings |= {"decoders": 1, "job_lease_seconds": 1}
    validated = Settings.model_validate(settings)
    service = Service(validated, Keys.of(validated))
    yield service
    service.decoders.close()


async def until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_true():
            await asyncio.sleep(0.01)


async def create(jobs: Jobs, picture: bytes) -> str:
    job = await jobs.create([UploadedFile("", picture)], is_form=False, callback_url="", request_id="request")
    return job.id


async def finished(jobs: Jobs, identity: str) -> str:
    """Return the status of a job once it has finished."""
    async with asyncio.timeout(30):
        while (status := (await jobs.get(identity)).status) not in ("done", "failed"):
            await asyncio.sleep(0.01)
    return status


def outcomes(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the logged outcomes of jobs."""
    facts: list[dict[str, str]] = [getattr(record, "facts", {}) for record in caplog.records]
    return [fact["outcome"] for fact in facts if "outcome" in fact]


def test_a_slow_database_delays_no_predictions_and_no_leases(
    service: Service, picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_fast, is_finishing = threading.Event(), threading.Event()
    extended: list[float] = []
    finish, get, extend = JobStore.finish, JobStore.get, JobStore.extend

    def slow_finish(*args: Any, **options: Any) -> bool:
        is_finishing.set()
        is_fast.wait(60)
        return finish(*args, **options)

    def slow_get(*args: Any) -> Any:
        is_fast.wait(60)
        return get(*args)

    def recorded_extend(*args: Any) -> bool:
        extended.append(time.monotonic())
        return extend(*args)

    async def run() -> str:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(5))  # as many threads as in a replica
        jobs = Jobs(service)
        async with jobs.running():
            identity = await create(jobs, picture)
            monkeypatch.setattr(JobStore, "finish", slow_finish)
            monkeypatch.setattr(JobStore, "get", slow_get)
            monkeypatch.setattr(JobStore, "extend", recorded_extend)
            try:
                await until(is_finishing.is_set)
                waiting = [asyncio.create_task(jobs.get(identity)) for _ in range(20)]
                await asyncio.sleep(0)
                extended.clear()
                await until(lambda: len(extended) > 2)
                await asyncio.wait_for(asyncio.to_thread(time.monotonic), 5)
            finally:
                is_fast.set()
            await asyncio.gather(*waiting)
            return await finished(jobs, identity)

    assert asyncio.run(run()) == "done"


def test_a_job_waits_for_space_for_its_files(
    service: Service, picture: bytes, url: URL, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logs.NAME)

    def retries() -> int:
        return outcomes(caplog).count("retried")

    async def run() -> tuple[str, str]:
        jobs = Jobs(service)
        async with jobs.running():
            with service.bodies.reservation() as uploads:
                uploads.add(memory=service.limits.memory_bytes)
                identity = await create(jobs, picture)
                await until(lambda: retries() > worker.MAX_ATTEMPTS)
            return identity, await finished(jobs, identity)

    identity, status = asyncio.run(run())
    store = JobStore(url, keep_seconds=60)
    row = store.get(identity)
    store.close()
    assert row
    assert (status, row.attempts) == ("done", 1)


def test_a_job_is_done_even_if_its_files_cannot_be_deleted(
    service: Service, picture: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logs.NAME)

    def fail(*_: object) -> None:
        raise JobStoreError("the database of jobs is unavailable")

    monkeypatch.setattr(JobStore, "_delete_blocks", fail)

    async def run() -> None:
        jobs = Jobs(service)
        async with jobs.running():
            await create(jobs, picture)
            await until(lambda: bool(outcomes(caplog)))

    asyncio.run(run())
    assert outcomes(caplog) == ["done"]


@pytest.mark.parametrize("becomes_available", [True, False])
def test_a_result_waits_for_an_unavailable_database(
    service: Service, picture: bytes, url: URL, monkeypatch: pytest.MonkeyPatch, becomes_available: bool
) -> None:
    calls: list[float] = []
    finish = JobStore.finish

    def fail_twice(*args: Any, **options: Any) -> bool:
        calls.append(time.monotonic())
        if len(calls) > 2 and becomes_available:
            return finish(*args, **options)
        raise JobStoreError("the database of jobs is unavailable")

    monkeypatch.setattr(JobStore, "finish", fail_twice)

    async def run() -> str:
        jobs = Jobs(service)
        async with jobs.running():
            identity = await create(jobs, picture)
            await until(lambda: len(calls) > 2)
            if becomes_available:
                await finished(jobs, identity)
        return identity

    identity = asyncio.run(run())
    store = JobStore(url, keep_seconds=60)
    row = store.get(identity)
    store.close()
    assert row
    assert (row.state, row.attempts) == (("done", 1) if becomes_available else ("queued", 0))
