"""The job queue: leases, claims, and jobs and files left behind by dead replicas."""

import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, make_url, select, update
from sqlalchemy.engine import URL

from serve.jobs import table
from serve.jobs.database import Database, JobStoreError, database_url
from serve.jobs.store import FullError, JobStore
from serve.settings import Settings
from tests.helpers import postgres

LEASE = 30.0


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Postgres]:
    with postgres.running() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    if request.param == "sqlite":
        return URL.create("sqlite", database=str(tmp_path / "new" / "jobs.db"))
    server: postgres.Postgres = request.getfixturevalue("server")
    return make_url(server.create(uuid.uuid4().hex))


@pytest.fixture
def store(url: URL) -> Iterator[JobStore]:
    store = JobStore(url, keep_seconds=60)
    yield store
    store.close()


def new_job(store: JobStore, *, callback: str = "") -> str:
    job = store.create("request", ("a.mp3", "b.mp3"), (3, 1), callback)
    for number, data in enumerate((b"ab", b"c")):
        store.add_block(job, 0, number, data)
    store.add_block(job, 1, 0, b"d")
    store.publish(job)
    return job


def test_a_job_is_claimed_once_and_finished_once(store: JobStore) -> None:
    job = new_job(store)
    claim = store.claim(LEASE)
    assert claim
    assert (claim.id, claim.names, claim.files, claim.attempt) == (job, ("a.mp3", "b.mp3"), 2, 1)
    assert [b"".join(store.read(job, file)) for file in (0, 1)] == [b"abc", b"d"]
    assert store.claim(LEASE) is None
    assert store.extend(claim, LEASE, 5.0)
    assert store.finish(claim, seconds=7.0, result="{}")
    assert not store.finish(claim, result="again")
    store.release(claim)  # too late: the job is already finished
    row = store.get(job)
    assert row
    assert (row.state, row.result, row.seconds, row.bytes) == ("done", "{}", 7.0, 0)
    assert row.created_at <= row.started_at <= row.finished_at == pytest.approx(row.expires_at - 60)
    assert row.created_at == pytest.approx(time.time(), abs=60)
    assert not list(store.read(job, 0))
    assert store.claim(LEASE) is None
    assert store.claim(LEASE, finished=True) is None


def test_an_expired_lease_is_taken_over(store: JobStore) -> None:
    job = new_job(store)
    first = store.claim(0)
    second = store.claim(LEASE)
    assert first
    assert second
    assert (second.id, second.attempt) == (job, 2)
    assert not store.extend(first, LEASE)
    assert not store.finish(first, error="{}")
    assert store.finish(second, result="{}")


def test_replicas_never_claim_the_same_job(store: JobStore, url: URL) -> None:
    jobs = {new_job(store) for _ in range(20)}
    claimed: list[str] = []

    def work() -> None:
        own = JobStore(url, keep_seconds=60)
        while claim := own.claim(LEASE):
            claimed.append(claim.id)
        own.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(jobs)


def test_a_job_that_is_given_back_is_claimed_again(store: JobStore) -> None:
    new_job(store)
    claim = store.claim(LEASE)
    assert claim
    store.release(claim, uncount=True)
    again = store.claim(LEASE)
    assert again
    assert again.attempt == 1
    store.release(again, delay=60)
    assert store.claim(LEASE) is None


def test_a_deleted_job_can_neither_be_extended_nor_finished(store: JobStore) -> None:
    job = new_job(store)
    claim = store.claim(LEASE)
    assert claim
    assert store.delete(job)
    assert not store.delete(job)
    assert not store.extend(claim, LEASE)
    assert not store.finish(claim, result="{}")
    assert store.get(job) is None
    assert not list(store.read(job, 0))


def test_a_callback_is_due_when_its_job_is_finished(store: JobStore) -> None:
    new_job(store, callback="https://example.com/")
    assert store.claim(LEASE, finished=True) is None
    claim = store.claim(LEASE)
    assert claim
    assert claim.callback == ""
    store.finish(claim, result="{}")
    assert store.claim(LEASE) is None
    call = store.claim(0, finished=True)
    assert call
    assert (call.callback, call.attempt) == ("https://example.com/", 1)
    call = store.claim(LEASE, finished=True)  # the replica that was sending the callback died
    assert call
    assert call.attempt == 2
    store.release(call)
    call = store.claim(LEASE, finished=True)
    assert call
    store.end_callback(call)
    assert store.claim(0, finished=True) is None
    row = store.get(call.id)
    assert row
    assert row.state == "done"


def test_jobs_and_their_bytes_are_limited(store: JobStore) -> None:
    new_job(store)
    store.check_room(6, max_jobs=2, max_bytes=10)
    with pytest.raises(FullError, match="bytes"):
        store.check_room(7, max_jobs=2, max_bytes=10)
    with pytest.raises(FullError, match="jobs"):
        store.check_room(0, max_jobs=1, max_bytes=10)
    claim = store.claim(LEASE)
    assert claim
    store.finish(claim, error="{}")
    assert store.unfinished() == 0
    store.check_room(10, max_jobs=1, max_bytes=10)


def test_expired_jobs_are_deleted(url: URL) -> None:
    store = JobStore(url, keep_seconds=0)
    job, waiting = new_job(store), new_job(store)
    claim = store.claim(LEASE)
    assert claim
    store.finish(claim, result="{}")
    store.sweep()
    assert store.get(job) is None
    assert store.get(waiting)
    store.close()


def test_a_job_without_all_its_files_is_not_claimed(store: JobStore) -> None:
    store.create("request", None, (3,))
    assert store.claim(LEASE) is None


@pytest.mark.parametrize("is_finished", [True, False])
def test_all_blocks_of_a_large_file_are_deleted(tmp_path: Path, is_finished: bool) -> None:
    file = tmp_path / "jobs.db"
    store = JobStore(URL.create("sqlite", database=str(file)), keep_seconds=60)
    job = store.create("request", None, (7_000_000,))
    for number in range(70):
        store.add_block(job, 0, number, bytes(100_000))
    store.publish(job)
    if is_finished:
        claim = store.claim(LEASE)
        assert claim
        assert store.finish(claim, result="{}")
    else:
        assert store.delete(job)
    assert not list(store.read(job, 0))
    store.close()
    assert file.stat().st_size < 1_000_000


def test_what_a_killed_replica_has_not_deleted_is_swept(store: JobStore, url: URL) -> None:
    job = new_job(store)
    database = Database(url)
    with database.transaction() as connection:
        connection.execute(update(table.jobs).values(state="deleted", expires_at=0))
    assert store.get(job) is None
    assert store.claim(LEASE) is None
    store.sweep()
    assert not list(store.read(job, 0))
    with database.transaction() as connection:
        assert not connection.execute(select(table.jobs)).all()
    database.close()


def test_an_unusable_database_is_named_without_its_password(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = JobStore(URL.create("sqlite", database=str(tmp_path / "file" / "jobs.db")), keep_seconds=60)
    with pytest.raises(JobStoreError, match=r"RAYGENRE_JOBS_DATABASE\), cannot be used: "):
        store.unfinished()
    store = JobStore(make_url("postgresql+psycopg2://user:secret@127.0.0.1:1/jobs"), keep_seconds=60)
    with pytest.raises(JobStoreError, match=r"127\.0\.0\.1:1/jobs .* refused") as raised:
        store.unfinished()
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(("query", "seconds"), [("", 10), ("?connect_timeout=3", "3")])
def test_an_unreachable_postgresql_does_not_block_forever(query: str, seconds: object) -> None:
    store = JobStore(make_url(f"postgresql+psycopg2://127.0.0.1:1/jobs{query}"), keep_seconds=60)
    options: list[dict[str, object]] = []

    def record(dialect: object, row: object, arguments: object, parameters: dict[str, object]) -> None:
        options.append(parameters)

    event.listen(Engine, "do_connect", record)
    with pytest.raises(JobStoreError, match="refused"):
        store.unfinished()
    event.remove(Engine, "do_connect", record)
    assert (options[0]["connect_timeout"], options[0]["tcp_user_timeout"]) == (seconds, 30_000)


def test_a_malformed_url_is_refused_without_repeating_it() -> None:
    with pytest.raises(JobStoreError, match="is not the URL of a database") as raised:
        database_url(Settings.model_validate({"jobs_database": "secret"}))
    assert "secret" not in str(raised.value)


def test_by_default_jobs_are_in_the_storage_folder(tmp_path: Path) -> None:
    url = database_url(Settings(storage=str(tmp_path)))
    assert url.database == str(tmp_path.resolve() / "jobs.db")
