"""Tests for the middleware of Ray's proxies, without Ray."""

import asyncio
import json
import time
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.admission.limits import Limits, LimitSettings
from serve.network.proxy_environment import DEFAULTS
from serve.network.proxy_middleware import ProxyMiddleware, middlewares
from serve.network.unread_body import UnreadBodyMiddleware

LIMITS = Limits.of(LimitSettings(retry_after=3))
PLAIN = [[b"content-type", b"text/plain; charset=utf-8"]]


def pass_through(
    app: ASGIApp, headers: list[tuple[bytes, bytes]], *, path: str = "/v1/predict", is_replica: bool = False
) -> list[Message]:
    """Send a request through the middleware, and return the messages of the response."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    middleware = ProxyMiddleware(app, LIMITS, is_replica=is_replica)
    asyncio.run(middleware({"type": "http", "path": path, "headers": headers}, receive, send))
    return sent


def passed_on(*headers: tuple[bytes, bytes], is_replica: bool = False) -> dict[bytes, bytes]:
    """Return the headers that reach Ray, after checking that their names are unique."""
    received: list[tuple[bytes, bytes]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        received.extend(scope["headers"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    pass_through(app, list(headers), is_replica=is_replica)
    assert len(dict(received)) == len(received)
    return dict(received)


def refused(
    status: int, headers: list[list[bytes]], *, path: str = "/v1/predict"
) -> tuple[int, dict[bytes, bytes], dict[str, Any]]:
    """Return the response that a client gets when Ray itself responds with this status and these headers."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"Request dropped"})

    start, body = pass_through(app, [(b"x-request-id", b"mine")], path=path)
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
def test_headers_for_ray_are_removed(name: bytes) -> None:
    assert passed_on((b"accept", b"\xe9"), (name, b"\xe9")).keys() == {b"accept", b"x-request-id"}


def test_a_replica_reads_a_body_only_as_fast_as_the_application() -> None:
    """By default, Ray reads the body into an unlimited queue to detect disconnections."""
    name = b"x-request-disconnect-disabled"
    assert passed_on((name, b"?0"), is_replica=True)[name] == b"?1"


@pytest.mark.parametrize("given", [b"\xe9", b"", b"a b", b"{}", b"x" * 101, b"a\xc3\xa9"])
def test_an_unsafe_request_id_is_replaced(given: bytes) -> None:
    request_id = passed_on((b"x-request-id", given))[b"x-request-id"]
    assert len(request_id) == 36
    assert request_id != given


def test_a_safe_request_id_is_kept_and_the_first_one_counts() -> None:
    assert passed_on((b"x-request-id", b"mine-1"), (b"x-request-id", b"\xe9"))[b"x-request-id"] == b"mine-1"


@pytest.mark.parametrize(("status", "expected"), [(408, 503), (429, 429), (503, 503)])
def test_refusals_of_ray_become_problems(status: int, expected: int) -> None:
    actual, headers, body = refused(status, PLAIN)
    assert (actual, body["status"], body["request_id"]) == (expected, expected, "mine")
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"x-request-id"] == b"mine"
    assert headers[b"retry-after"] == b"3"
    assert refused(status, [*PLAIN, [b"retry-after", b"7"]])[1][b"retry-after"] == b"7"


def test_clients_of_the_open_inference_protocol_get_its_error() -> None:
    for path in ("/v2/models/raygenre/infer", "/genres/v2"):
        _, _, body = refused(429, PLAIN, path=path)
        assert body["error"] == body["detail"]
    assert "error" not in refused(429, PLAIN)[2]


def test_a_404_of_ray_becomes_a_problem() -> None:
    status, headers, _ = refused(404, PLAIN)
    assert status == 404
    assert b"retry-after" not in headers


def test_refusals_of_the_application_pass_unchanged() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/problem+json")]
        await send({"type": "http.response.start", "status": 429, "headers": headers})
        await send({"type": "http.response.body", "body": b"{}"})

    assert [message.get("body") for message in pass_through(app, [])] == [None, b"{}"]


def test_a_request_without_a_response_from_ray_becomes_503() -> None:
    """When a replica dies, Ray sends no response; without the middleware, Ray's server would respond with a 500."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        pass

    start, body = pass_through(app, [])
    assert start["status"] == 503
    assert dict(start["headers"])[b"x-request-id"].decode() == json.loads(body["body"])["request_id"]


def test_the_middleware_adds_little_latency() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def nothing(message: Message) -> None:
        pass

    async def receive() -> Message:
        return {}

    async def seconds(inner: ASGIApp) -> float:
        started = time.process_time()
        for _ in range(2000):
            headers = [(b"host", b"x"), (b"accept", b"*/*"), (b"content-length", b"46102"), (b"x-request-id", b"mine")]
            await inner({"type": "http", "headers": headers}, receive, nothing)
        return (time.process_time() - started) / 2000

    fastest = min(asyncio.run(seconds(ProxyMiddleware(app, LIMITS))) for _ in range(3))
    assert fastest < 100e-6  # about 5 µs on an idle core


def test_ray_imports_the_middleware() -> None:
    module, _, name = DEFAULTS["RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"].rpartition(".")
    assert (module, name) == (middlewares.__module__, middlewares.__name__)
    assert [str(each.cls) for each in middlewares()] == [str(ProxyMiddleware), str(UnreadBodyMiddleware)]
