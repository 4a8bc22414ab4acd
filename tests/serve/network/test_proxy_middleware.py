"""What Ray's own processes do with a request, before and behind which there is nothing but this."""

import asyncio
import json
import time
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.network.proxy_environment import DEFAULTS
from serve.network.proxy_middleware import ProxyMiddleware, middlewares

PLAIN = [[b"content-type", b"text/plain; charset=utf-8"]]


def pass_through(app: ASGIApp, headers: list[tuple[bytes, bytes]]) -> list[Message]:
    """Send a request through the entrance, and return what comes out of it."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    asyncio.run(ProxyMiddleware(app)({"type": "http", "headers": headers}, receive, send))
    return sent


def seen(*headers: tuple[bytes, bytes]) -> dict[bytes, bytes]:
    """The headers that come to Ray, none of them twice."""
    found: list[tuple[bytes, bytes]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.extend(scope["headers"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    pass_through(app, list(headers))
    assert len(dict(found)) == len(found)
    return dict(found)


def refused(status: int, headers: list[list[bytes]]) -> tuple[int, dict[bytes, bytes], dict[str, Any]]:
    """What becomes of an answer of Ray's own."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"Request dropped"})

    start, body = pass_through(app, [(b"x-request-id", b"mine")])
    return start["status"], dict(start["headers"]), json.loads(body["body"])


@pytest.mark.parametrize(
    "name",
    [
        b"x-request-timeout-seconds",
        b"x-request-disconnect-disabled",
        b"serve_multiplexed_model_id",
        b"serve-multiplexed-model-id",
        b"serve-multiplexed_model-id",
        b"x-session-id",
        b"x_session_id",
    ],
)
def test_ray_is_told_nothing_by_clients(name: bytes) -> None:
    assert seen((b"accept", b"\xe9"), (name, b"\xe9")).keys() == {b"accept", b"x-request-id"}


@pytest.mark.parametrize("given", [b"\xe9", b"", b"a b", b"{}", b"x" * 101, b"a\xc3\xa9"])
def test_an_id_that_is_not_sane_is_replaced(given: bytes) -> None:
    found = seen((b"x-request-id", given))[b"x-request-id"]
    assert len(found) == 36
    assert found != given


def test_a_sane_id_is_kept_and_the_first_of_several_counts() -> None:
    assert seen((b"x-request-id", b"mine-1"), (b"x-request-id", b"\xe9"))[b"x-request-id"] == b"mine-1"


@pytest.mark.parametrize(("status", "told"), [(408, 503), (429, 429), (503, 503)])
def test_what_ray_refuses_is_a_problem(status: int, told: int) -> None:
    found, headers, body = refused(status, PLAIN)
    assert (found, body["status"], body["request_id"]) == (told, told, "mine")
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"x-request-id"] == b"mine"
    assert headers[b"retry-after"] == b"2"
    assert refused(status, [*PLAIN, [b"retry-after", b"7"]])[1][b"retry-after"] == b"7"


def test_what_ray_does_not_find_is_a_problem() -> None:
    found, headers, _ = refused(404, PLAIN)
    assert found == 404
    assert b"retry-after" not in headers


def test_what_the_application_refuses_is_left_as_it_is() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/problem+json")]
        await send({"type": "http.response.start", "status": 429, "headers": headers})
        await send({"type": "http.response.body", "body": b"{}"})

    assert [message.get("body") for message in pass_through(app, [])] == [None, b"{}"]


def test_a_request_that_ray_says_nothing_about_is_to_be_tried_again() -> None:
    """As where the replica dies that was asked: Ray ends without an answer, which its server makes a 500."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        pass

    start, body = pass_through(app, [])
    assert start["status"] == 503
    assert dict(start["headers"])[b"x-request-id"].decode() == json.loads(body["body"])["request_id"]


def test_it_costs_next_to_nothing() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def nothing(message: Message) -> None:
        pass

    async def receive() -> Message:
        return {}

    async def seconds(inner: ASGIApp) -> float:
        began = time.process_time()
        for _ in range(2000):
            headers = [(b"host", b"x"), (b"accept", b"*/*"), (b"content-length", b"46102"), (b"x-request-id", b"mine")]
            await inner({"type": "http", "headers": headers}, receive, nothing)
        return (time.process_time() - began) / 2000

    least = min(asyncio.run(seconds(ProxyMiddleware(app))) for _ in range(3))
    assert least < 100e-6  # some 5 µs on a quiet core


def test_ray_is_told_to_import_it() -> None:
    module, _, name = DEFAULTS["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"].rpartition(".")
    assert (module, name) == (middlewares.__module__, middlewares.__name__)
    assert str(middlewares()) == "[Middleware(Entrance)]"
