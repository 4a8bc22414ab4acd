"""Jobs on a real endpoint: accepted requests, results, and killed replicas."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import URL, update

from benchmarks import processes
from raygenre.system.storage import Storage
from serve.jobs import table
from serve.jobs.database import Database
from serve.jobs.store import JobStore
from tests.helpers.processes import until
from tests.helpers.serving import running

REPLICA = "ServeReplica:endpoint:"


def finished(client: httpx.Client, path: str, seconds: float = 60) -> dict[str, Any]:
    """Return a job once it has finished; requests that fail because no replica is running are retried."""
    deadline = time.monotonic() + seconds
    while True:
        assert time.monotonic() < deadline
        with suppress(httpx.TransportError):  # the replica was killed while responding
            response = client.get(path)
            if response.status_code == 200:
                job: dict[str, Any] = response.json()
                if job["status"] in ("done", "failed"):
                    return job
        time.sleep(0.1)


def started(client: httpx.Client, path: str) -> None:
    """Wait until some of a job's audio has been decoded."""
    deadline = time.monotonic() + 60
    while not client.get(path).json()["started_at"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_job_gives_the_answer_of_a_prediction(endpoint: httpx.Client, song: bytes) -> None:
    response = endpoint.post("/v1/jobs", content=song, headers={"X-Request-ID": "job-1"})
    assert response.status_code == 202, response.text
    job = response.json()
    path = response.headers["Location"]
    assert path == f"/v1/jobs/{job['id']}"
    assert (job["status"], job["result"], job["error"], job["expires_at"]) == ("queued", None, None, None)
    assert int(response.headers["Retry-After"]) > 0
    job = finished(endpoint, path)
    assert job["created_at"] <= job["started_at"] <= job["finished_at"] < job["expires_at"]
    assert job["seconds"] == pytest.approx(60, abs=0.5)
    answer = endpoint.post("/v1/predict", content=song, headers={"X-Request-ID": "job-1"}).json()
    assert job["result"] == answer
    assert endpoint.delete(path).status_code == 204
    assert endpoint.get(path).status_code == endpoint.delete(path).status_code == 404


def test_a_job_may_be_longer_and_larger_than_a_request(endpoint: httpx.Client, song: bytes) -> None:
    mix = song * 10
    assert endpoint.post("/v1/predict", content=mix).status_code in (413, 422)
    job = finished(endpoint, endpoint.post("/v1/jobs", content=mix).headers["Location"])
    assert job["status"] == "done", job
    assert job["result"]["windows"][-1]["end"] == pytest.approx(600, abs=2)


def test_a_form_gives_answers_and_errors(endpoint: httpx.Client, picture: bytes) -> None:
    form = [("file", ("a.png", picture)), ("file", ("b.mp3", b"no music"))]
    job = finished(endpoint, endpoint.post("/v1/jobs", files=form).headers["Location"])
    assert job["status"] == "done"
    assert job["result"]["predictions"][0]["genre"] == "bells"
    assert [(error["file"], error["status"]) for error in job["result"]["errors"]] == [("b.mp3", 415)]


def test_an_unusable_file_fails_its_job(endpoint: httpx.Client) -> None:
    job = finished(endpoint, endpoint.post("/v1/jobs", content=b"no music").headers["Location"])
    assert (job["status"], job["result"], job["error"]["status"]) == ("failed", None, 415)


def test_a_deleted_job_is_stopped(endpoint: httpx.Client, song: bytes, picture: bytes) -> None:
    long = endpoint.post("/v1/jobs", content=song * 60).headers["Location"]
    started(endpoint, long)
    assert endpoint.delete(long).status_code == 204
    assert endpoint.get(long).status_code == 404
    assert finished(endpoint, endpoint.post("/v1/jobs", content=picture).headers["Location"])["status"] == "done"


def test_a_callback_needs_a_listed_host(endpoint: httpx.Client, picture: bytes) -> None:
    response = endpoint.post("/v1/jobs?callback=https://example.com/", content=picture)
    assert response.status_code == 422
    assert "RAYGENRE_CALLBACK_HOSTS" in response.json()["detail"]


def test_a_job_that_ends_replicas_fails(endpoint: httpx.Client, storage: Storage) -> None:
    """Decoding the job's file may take too much memory; without a limit, the job would kill replicas forever."""
    url = URL.create("sqlite", database=str(storage.root / "jobs.db"))
    store = JobStore(url, keep_seconds=60)
    job = store.create("request", None, (0,))
    with Database(url).transaction() as connection:
        connection.execute(update(table.jobs).where(table.jobs.c.id == job).values(state="running", attempts=3))
    store.publish(job)
    error = finished(endpoint, f"/v1/jobs/{job}")["error"]
    assert (error["status"], error["detail"].split(";")[0]) == (503, "3 replicas stopped while processing this job")
    store.close()


@pytest.mark.parametrize("identity", ["none", "0" * 32, "%00"])
def test_an_unknown_job_is_not_found(endpoint: httpx.Client, identity: str) -> None:
    for method in ("GET", "HEAD", "DELETE"):
        assert endpoint.request(method, f"/v1/jobs/{identity}").status_code == 404


def test_json_is_refused_with_the_right_way(endpoint: httpx.Client) -> None:
    response = endpoint.post("/v1/jobs", json={})
    assert response.status_code == 415
    assert "--data-binary" in response.json()["detail"]


@pytest.fixture(scope="module")
def jobs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("jobs") / "jobs.db"


@pytest.fixture(scope="module")
def limited(storage: Storage, ray_serve: None, jobs_file: Path) -> Iterator[httpx.Client]:
    """An endpoint with keys and low limits on jobs; it must not process the other endpoint's jobs."""
    settings: dict[str, object] = {"jobs_database": f"sqlite:///{jobs_file}"}
    settings |= {
        "callback_hosts": "example.com, localhost",
        "api_keys": "k" * 16,
        "most_job_bytes": 3_000_000,
        "most_job_seconds": 70,
        "most_jobs_bytes": 5_000_000,
    }
    with running(storage, name="limited", prefix="/limited", **settings) as client:
        yield client


@pytest.mark.slow
def test_jobs_have_limits_of_their_own(limited: httpx.Client, song: bytes) -> None:
    assert limited.post("/v1/jobs", content=song).status_code == 401
    assert limited.get(f"/v1/jobs/{'0' * 32}").status_code == 401
    limited.headers["X-API-Key"] = "k" * 16
    large = limited.post("/v1/jobs", content=bytes(3_000_001))
    assert large.status_code == 413
    assert "RAYGENRE_MOST_JOB_BYTES" in large.json()["detail"]
    long = limited.post("/v1/jobs", content=song + song[: len(song) // 4])
    assert long.status_code == 202, long.text
    assert long.headers["Location"].startswith("/limited/v1/jobs/")
    error = finished(limited, f"/v1/jobs/{long.json()['id']}")["error"]
    assert error["status"] == 422
    assert "RAYGENRE_MOST_JOB_SECONDS" in error["detail"]


@pytest.mark.slow
def test_a_failed_callback_is_tried_again_later(limited: httpx.Client, picture: bytes, jobs_file: Path) -> None:
    """The listed host has a private address; tests/serve/jobs/test_callback.py tests successful callbacks."""
    limited.headers["X-API-Key"] = "k" * 16
    job = limited.post("/v1/jobs?callback=https://localhost:1/done", content=picture).json()["id"]
    assert finished(limited, f"/v1/jobs/{job}")["status"] == "done"
    store = JobStore(URL.create("sqlite", database=str(jobs_file)), keep_seconds=60)

    def is_tried_again() -> bool:
        row = store.get(job)
        return bool(row and row.callback_attempts and row.due_at > row.finished_at + 5 and not row.token)

    until(is_tried_again, 20)
    store.close()


@pytest.mark.slow
def test_a_replica_that_stops_gives_its_job_back(
    storage: Storage, ray_serve: None, song: bytes, tmp_path: Path
) -> None:
    url = URL.create("sqlite", database=str(tmp_path / "jobs.db"))
    with running(storage, name="leaving", prefix="/leaving", jobs_database=str(url)) as client:
        job = client.post("/v1/jobs", content=song * 200).json()["id"]
        started(client, f"/v1/jobs/{job}")
    store = JobStore(url, keep_seconds=60)
    row = store.get(job)
    assert row
    assert (row.state, row.attempts) == ("queued", 0)
    assert store.claim(30)
    store.close()


@pytest.mark.slow
def test_the_job_of_a_killed_replica_is_done_by_the_next(
    endpoint: httpx.Client, song: bytes, record_property: Callable[[str, object], None]
) -> None:
    path = endpoint.post("/v1/jobs", content=song * 60).headers["Location"]
    started(endpoint, path)
    [replica] = processes.titled(REPLICA, os.getpid())
    os.kill(replica, signal.SIGKILL)
    killed = time.monotonic()
    job = finished(endpoint, path, 120)
    record_property("s from the kill to the result of an hour of audio", round(time.monotonic() - killed, 1))
    assert job["status"] == "done", job
    assert job["result"]["windows"][-1]["end"] == pytest.approx(3600, abs=10)
