"""The sync and async clients, tested against a real server with scripted answers."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from raygenre.client import (
    AddressError,
    Answer,
    AsyncClient,
    Client,
    ClientError,
    Job,
    NoAnswerError,
    RefusedError,
    Retries,
    UnexpectedAnswerError,
    UnreachableError,
    Window,
)
from raygenre.errors import FileAccessError
from serve.schema import EXAMPLES
from tests.helpers.mlflow_server import free_port
from tests.helpers.scripted_server import HANG_UP, Reply, scripted

QUICK = Retries(attempts=3, first_wait=0.01)
JSON, LINES = {"Content-Type": "application/json"}, {"Content-Type": "application/x-ndjson; charset=utf-8"}
ANSWER: dict[str, Any] = json.loads(json.dumps(EXAMPLES["answer"]))
FOUND = Reply(200, [json.dumps(ANSWER).encode()], JSON)
WINDOWS = [json.dumps(ANSWER["windows"][0] | {"number": number}).encode() + b"\n" for number in range(3)]
SUMMARY = json.dumps({key: value for key, value in ANSWER.items() if key != "windows"}).encode() + b"\n"
Part = Window | Answer


def refusal(status: int, detail: str, headers: dict[str, str] | None = None) -> Reply:
    body = {"type": "about:blank", "title": "", "status": status, "detail": detail, "request_id": "r-1"}
    return Reply(status, [json.dumps(body).encode()], {"Content-Type": "application/problem+json"} | (headers or {}))


def sync_predict(url: str, file: Any, **settings: Any) -> Answer:
    with Client(url, **{"retries": QUICK} | settings) as client:
        return client.predict(file)


def async_predict(url: str, file: Any, **settings: Any) -> Answer:
    async def answer() -> Answer:
        async with AsyncClient(url, **{"retries": QUICK} | settings) as client:
            return await client.predict(file)

    return asyncio.run(answer())


def sync_stream(url: str) -> list[Part]:
    with Client(url, retries=QUICK) as client:
        return list(client.stream(b"song"))


def async_stream(url: str) -> list[Part]:
    async def parts() -> list[Part]:
        async with AsyncClient(url, retries=QUICK) as client:
            return [part async for part in client.stream(b"song")]

    return asyncio.run(parts())


@pytest.fixture(params=[sync_predict, async_predict])
def predict(request: pytest.FixtureRequest) -> Callable[..., Answer]:
    function: Callable[..., Answer] = request.param
    return function


@pytest.fixture(params=[sync_stream, async_stream])
def stream(request: pytest.FixtureRequest) -> Callable[[str], list[Part]]:
    function: Callable[[str], list[Part]] = request.param
    return function


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "song.mp3"
    path.write_bytes(bytes(range(256)) * 4000)  # several chunks
    return path


def test_a_file_is_sent_whole_with_its_length_and_key(predict: Callable[..., Answer], song: Path) -> None:
    with scripted(FOUND) as server:
        answer = predict(f"{server.url}/music/", song, api_key="k" * 16)
    assert answer.model_dump(mode="json") == ANSWER
    [(method, path, headers, body)] = server.requests
    assert (method, path, body) == ("POST", "/music/v1/predict", song.read_bytes())
    assert (headers["Content-Length"], headers["Authorization"]) == ("1024000", f"Bearer {'k' * 16}")
    assert headers["User-Agent"].startswith("raygenre/")


@pytest.mark.parametrize(
    "failure", [HANG_UP, refusal(429, "busy", {"Retry-After": "0"}), refusal(503, "busy"), Reply(502, [b"<html>"])]
)
def test_a_failed_attempt_is_repeated_with_the_whole_file(
    predict: Callable[..., Answer], song: Path, failure: Reply
) -> None:
    with scripted(failure, failure, FOUND) as server:
        assert predict(server.url, song).genre == "jazz"
    assert [body for *_, body in server.requests] == [song.read_bytes()] * 3


def test_a_connection_that_always_fails_is_given_up(predict: Callable[..., Answer]) -> None:
    with scripted(HANG_UP) as server:
        with pytest.raises(NoAnswerError, match=r"the connection to .* failed: .* \(3 attempts\); retry later"):
            predict(server.url, b"song")
        assert len(server.requests) == 3


def test_retry_after_is_obeyed() -> None:
    with scripted(refusal(503, "busy", {"Retry-After": "1"}), FOUND) as server:
        started = time.monotonic()
        sync_predict(server.url, b"song")
        assert time.monotonic() - started >= 1


def test_attempts_are_limited(predict: Callable[..., Answer]) -> None:
    with scripted(refusal(503, "no memory for more files")) as server:
        with pytest.raises(RefusedError, match=r"no memory for more files \(3 attempts\)") as raised:
            predict(server.url, b"song")
        assert (raised.value.status, raised.value.request_id, len(server.requests)) == (503, "r-1", 3)


@pytest.mark.parametrize("status", [400, 401, 408, 413, 415, 422, 500])
def test_a_refusal_is_final(predict: Callable[..., Answer], status: int) -> None:
    with scripted(refusal(status, "the audio lasts 1.2 s", {"Retry-After": "0"})) as server:
        with pytest.raises(RefusedError, match=r"^the audio lasts 1\.2 s$") as raised:
            predict(server.url, b"song")
        assert (raised.value.status, len(server.requests)) == (status, 1)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(200, [b"<html>welcome</html>"]), "sent a response that this version .*welcome"),
        (Reply(200, [b'{"genre": "jazz"}'], JSON), "sent a response that this version"),
        (Reply(404, [b'{"detail": "Not Found"}'], JSON), r"is not a raygenre endpoint \(it responded with 404 "),
        (Reply(308, headers={"Location": "https://music/"}), "redirects to https://music/; use that address"),
    ],
)
def test_another_server_is_recognised(predict: Callable[..., Answer], reply: Reply, message: str) -> None:
    with scripted(reply) as server, pytest.raises(UnexpectedAnswerError, match=message):
        predict(server.url, b"song")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_endpoint_that_is_down_is_unreachable(predict: Callable[..., Answer], host: str) -> None:
    url = f"http://{host}:{free_port()}"
    with pytest.raises(UnreachableError, match=rf"{url} is unreachable: Connection refused \(3 attempts\); check"):
        predict(url, b"song")


def test_an_unknown_host_is_unreachable(predict: Callable[..., Answer]) -> None:
    with pytest.raises(UnreachableError, match=r"http://host\.invalid is unreachable: .*(name|address|resolution)"):
        predict("http://host.invalid", b"song", retries=Retries(attempts=1))


def test_an_endpoint_that_hangs_is_given_up_once(predict: Callable[..., Answer]) -> None:
    released = threading.Event()
    with scripted(Reply(200, [b"late"], before=lambda: released.wait(30))) as server:
        with pytest.raises(NoAnswerError, match="did not respond in time; raise"):
            predict(server.url, b"song", timeout=0.2)
        released.set()
        assert len(server.requests) == 1


@pytest.mark.parametrize("name", ["missing.mp3", "."])
def test_a_file_that_cannot_be_read_is_named(predict: Callable[..., Answer], tmp_path: Path, name: str) -> None:
    with scripted(FOUND) as server:
        with pytest.raises(FileAccessError, match=str(tmp_path)):
            predict(server.url, tmp_path / name)
        assert not server.requests


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://host", "http://", "http://host/?key=1", "http://[::1"])
def test_an_unusable_address_is_refused(url: str) -> None:
    with pytest.raises(AddressError):
        Client(url)


def test_passwords_are_not_in_messages() -> None:
    port = free_port()
    with Client(f"http://me:secret@127.0.0.1:{port}", retries=Retries(attempts=1)) as client:
        with pytest.raises(UnreachableError) as raised:
            client.model()
        assert "secret" not in str(raised.value)


def test_a_key_with_a_line_break_is_refused() -> None:
    with pytest.raises(AddressError, match="API key"):
        Client("http://localhost", api_key="k\nX-Other: 1")


def test_proxies_are_not_used_for_this_machine(predict: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    with scripted(FOUND) as server:
        assert predict(server.url, b"song").genre == "jazz"


def test_lines_are_read_as_they_come() -> None:
    """The server sends each line only after the client has received the previous one."""
    received = threading.Semaphore(1)
    reply = Reply(200, [*WINDOWS, SUMMARY], LINES, before=lambda: received.acquire(timeout=20))
    with scripted(reply) as server, Client(server.url) as client:
        parts = []
        for part in client.stream(b"song"):
            parts.append(part)
            received.release()
    assert [part.number for part in parts if isinstance(part, Window)] == [0, 1, 2]
    assert isinstance(parts[-1], Answer)
    assert parts[-1].windows == tuple(parts[:-1])
    assert server.requests[0][2]["Accept"].startswith("application/x-ndjson")


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_lines_may_be_split_anywhere(stream: Callable[[str], list[Part]], size: int) -> None:
    text = b"".join([*WINDOWS, b"\n", SUMMARY.replace(b'"jazz"', '"jazz\u2028rock"'.encode())]).rstrip()
    with scripted(Reply(200, [text[i : i + size] for i in range(0, len(text), size)], LINES)) as server:
        *windows, answer = stream(server.url)
    assert len(windows) == 3
    assert answer.genre == "jazz\u2028rock"


def test_an_endpoint_without_streaming_gives_the_same(stream: Callable[[str], list[Part]]) -> None:
    with scripted(FOUND) as server:
        window, answer = stream(server.url)
    assert isinstance(answer, Answer)
    assert answer.windows == (window,)


PROBLEM = b'{"status": 503, "detail": "the response was not ready", "request_id": "r-2"}\n'


@pytest.mark.parametrize(
    ("chunks", "is_cut", "error", "message"),
    [
        (WINDOWS[:1], False, NoAnswerError, "before the response was complete"),
        (WINDOWS[:1], True, NoAnswerError, "the connection to .* failed"),
        ([WINDOWS[0], PROBLEM], False, RefusedError, "^the response was not ready$"),
        ([b"<html>\n"], False, UnexpectedAnswerError, "not a valid response: '<html>'"),
        ([b"[]\n"], False, UnexpectedAnswerError, "not a valid response"),
        ([b'{"number": 0}\n'], False, UnexpectedAnswerError, "not a valid response"),
        ([SUMMARY, SUMMARY], False, UnexpectedAnswerError, "not a valid response"),
    ],
)
def test_a_stream_that_ends_badly_is_an_error(
    stream: Callable[[str], list[Part]], chunks: list[bytes], is_cut: bool, error: type[ClientError], message: str
) -> None:
    with scripted(Reply(200, chunks, LINES, is_cut=is_cut)) as server, pytest.raises(error, match=message):
        stream(server.url)


def test_several_files_are_sent_at_once(tmp_path: Path) -> None:
    barrier = threading.Barrier(3, timeout=20)  # three requests wait for each other
    reply = Reply(200, FOUND.chunks, JSON, before=barrier.wait)
    with scripted(reply) as server, Client(server.url) as client:
        outcomes = dict(client.predict_many([*[b"song"] * 6, tmp_path / "missing.mp3"], at_once=3))
    assert [isinstance(outcomes[index], Answer) for index in range(6)] == [True] * 6
    assert isinstance(outcomes[6], FileAccessError)
    assert server.most_at_once == 3


def test_closing_cancels_the_other_files_at_once() -> None:
    released = threading.Event()
    with scripted(FOUND, Reply(200, [b""], before=lambda: released.wait(30))) as server:
        started = time.monotonic()
        with Client(server.url) as client, closing(client.predict_many([b"song"] * 9, at_once=2)) as outcomes:
            next(outcomes)
        assert time.monotonic() - started < 10
        released.set()
    assert len(server.requests) <= 4
    assert "raygenre-client" not in [thread.name for thread in threading.enumerate()]


def test_several_files_can_be_sent_inside_an_event_loop() -> None:
    """In a notebook, for example, the main thread runs an event loop."""

    async def outcomes(url: str) -> int:
        with Client(url) as client:
            return len(list(client.predict_many([b"song"] * 2)))

    with scripted(FOUND) as server:
        assert asyncio.run(outcomes(server.url)) == 2


def test_errors_of_the_list_of_files_are_raised() -> None:
    def files() -> Iterator[bytes]:
        yield b"song"
        raise RuntimeError("no more")

    with scripted(FOUND) as server, Client(server.url) as client:
        with pytest.raises(RuntimeError, match="no more"):
            list(client.predict_many(files()))
        with pytest.raises(ValueError, match="at least 1"):
            list(client.predict_many([], at_once=0))


def job(**fields: Any) -> Reply:
    waiting = {"id": "0a" * 16, "status": "queued", "created_at": "2026-01-31T12:00:00Z", "seconds": 0.0}
    none = dict.fromkeys(("started_at", "finished_at", "expires_at", "result", "error"))
    return Reply(200, [json.dumps(none | waiting | fields).encode()], JSON | {"Retry-After": "0"})


def test_jobs_are_created_awaited_and_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raygenre.client.core._POLL", 0.01)
    done = job(status="done", finished_at="2026-01-31T12:02:30Z", result=ANSWER)
    for sync in (True, False):
        with scripted(job(), job(status="running"), done, Reply(204, [], {})) as server:
            if sync:
                with Client(server.url, retries=QUICK) as client:
                    created = client.create_job(b"song", callback="https://a.example/b")
                    finished = client.wait_for_job(created.id)
                    client.delete_job(created.id)
            else:

                async def ask(url: str) -> tuple[Job, Job]:
                    async with AsyncClient(url, retries=QUICK) as client:
                        created = await client.create_job(b"song", callback="https://a.example/b")
                        finished = await client.wait_for_job(created.id)
                        await client.delete_job(created.id)
                    return created, finished

                created, finished = asyncio.run(ask(server.url))
        assert (created.is_finished, finished.is_finished) == (False, True)
        assert finished.result == Answer.model_validate(ANSWER)
        path = f"/v1/jobs/{created.id}"
        assert [request[:2] for request in server.requests] == [
            ("POST", "/v1/jobs?callback=https%3A%2F%2Fa.example%2Fb"),
            ("GET", path),
            ("GET", path),
            ("DELETE", path),
        ]


def test_an_id_of_a_job_cannot_lead_to_another_path() -> None:
    with scripted(refusal(404, "there is no such job")) as server:
        with Client(server.url, retries=QUICK) as client, pytest.raises(RefusedError, match="no such job"):
            client.job("../model?x=1")
        assert server.requests[0][1] == "/v1/jobs/..%2Fmodel%3Fx%3D1"


def delete(url: str, *, sync: bool) -> None:
    async def delete_async() -> None:
        async with AsyncClient(url, retries=QUICK) as client:
            await client.delete_job("0a" * 16)

    if sync:
        with Client(url, retries=QUICK) as client:
            client.delete_job("0a" * 16)
    else:
        asyncio.run(delete_async())


@pytest.mark.parametrize("sync", [True, False])
def test_a_deletion_whose_response_was_lost_succeeds(sync: bool) -> None:
    missing = refusal(404, "there is no such job")
    with scripted(HANG_UP, missing) as server:
        delete(server.url, sync=sync)
        assert [method for method, *_ in server.requests] == ["DELETE", "DELETE"]
    with scripted(missing) as server, pytest.raises(RefusedError, match="no such job"):
        delete(server.url, sync=sync)
    with scripted(HANG_UP, Reply(404, [b"<html>"])) as server, pytest.raises(UnexpectedAnswerError, match="with 404"):
        delete(server.url, sync=sync)
