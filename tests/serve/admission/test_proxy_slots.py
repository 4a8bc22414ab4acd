"""The limit on POST requests in a proxy."""

import asyncio
import json
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from serve.admission.limits import Limits, LimitSettings
from serve.network.proxy_middleware import ProxyMiddleware

LIMITS = Limits.of(LimitSettings())
TIMEOUT = LIMITS.slow_upload_seconds + 30  # s; a request accepted by mistake would wait forever


async def ask(
    middleware: ProxyMiddleware, receive: Receive, method: str = "POST"
) -> tuple[int, dict[bytes, bytes], bytes]:
    """Send a request; return the status, headers and body of the response."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "http", "method": method, "path": "/", "headers": []}
    await middleware(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


async def whole() -> Message:
    return {"type": "http.request", "body": b"all of it", "more_body": False}


async def answer(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


def test_a_full_proxy_refuses_posts_and_passes_gets() -> None:
    may_answer = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            await may_answer.wait()
        await answer(send)

    async def unread() -> Message:
        raise AssertionError("the body of a refused request was read")

    async def crowd() -> None:
        middleware = ProxyMiddleware(app, LIMITS)
        waiting = [asyncio.ensure_future(ask(middleware, unread)) for _ in range(LIMITS.proxy_requests)]
        await asyncio.sleep(0)
        status, headers, body = await ask(middleware, unread)
        assert (status, headers[b"content-type"]) == (429, b"application/problem+json")
        assert headers[b"retry-after"] == b"2"
        assert json.loads(body)["request_id"] == headers[b"x-request-id"].decode()
        assert (await ask(middleware, unread, "GET"))[0] == 200
        may_answer.set()
        assert [status for status, _, _ in await asyncio.gather(*waiting)] == [200] * LIMITS.proxy_requests
        assert (await ask(middleware, unread))[0] == 200  # slots are free again

    asyncio.run(asyncio.wait_for(crowd(), TIMEOUT))


def test_slow_uploads_free_slots_and_complete_uploads_keep_them() -> None:
    may_answer, slow_bodies_end = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["more_body"]:
            pass
        await may_answer.wait()
        await answer(send)

    async def slow() -> Message:
        await slow_bodies_end.wait()
        return {"type": "http.request", "body": b"", "more_body": False}

    async def crowd() -> None:
        middleware = ProxyMiddleware(app, LIMITS)
        half = LIMITS.proxy_requests // 2
        sent = [asyncio.ensure_future(ask(middleware, slow)) for _ in range(half)]
        sent += [asyncio.ensure_future(ask(middleware, whole)) for _ in range(LIMITS.proxy_requests - half)]
        await asyncio.sleep(0)
        assert (await ask(middleware, whole))[0] == 429
        await asyncio.sleep(LIMITS.slow_upload_seconds + 0.5)
        sent += [asyncio.ensure_future(ask(middleware, whole)) for _ in range(half)]
        await asyncio.sleep(0)
        assert (await ask(middleware, whole))[0] == 429
        slow_bodies_end.set()
        may_answer.set()
        assert [status for status, _, _ in await asyncio.gather(*sent)] == [200] * len(sent)

        may_answer.clear()
        sent = [asyncio.ensure_future(ask(middleware, whole)) for _ in range(LIMITS.proxy_requests)]
        await asyncio.sleep(0)
        assert (await ask(middleware, whole))[0] == 429  # no slot was released twice
        may_answer.set()
        assert [status for status, _, _ in await asyncio.gather(*sent)] == [200] * LIMITS.proxy_requests

    asyncio.run(asyncio.wait_for(crowd(), TIMEOUT))
