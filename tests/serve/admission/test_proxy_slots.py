"""How many bodies a proxy lets in at a time."""

import asyncio
import json
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from serve.network.proxy_middleware import MOST, SLOW, ProxyMiddleware

PATIENCE = SLOW + 30  # s; who is let in by mistake waits for ever


async def ask(
    entrance: ProxyMiddleware, receive: Receive, method: str = "POST"
) -> tuple[int, dict[bytes, bytes], bytes]:
    """Send a request; return the status, headers and body of the answer."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "http", "method": method, "path": "/", "headers": []}
    await entrance(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


async def whole() -> Message:
    return {"type": "http.request", "body": b"all of it", "more_body": False}


async def answer(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


def test_one_body_too_many_is_told_to_come_again_and_questions_pass() -> None:
    free = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            await free.wait()
        await answer(send)

    async def unread() -> Message:
        raise AssertionError("nothing is read of a body that is refused")

    async def crowd() -> None:
        entrance = ProxyMiddleware(app)
        waiting = [asyncio.ensure_future(ask(entrance, unread)) for _ in range(MOST)]
        await asyncio.sleep(0)
        status, headers, body = await ask(entrance, unread)
        assert (status, headers[b"content-type"]) == (429, b"application/problem+json")
        assert headers[b"retry-after"]
        assert json.loads(body)["request_id"] == headers[b"x-request-id"].decode()
        assert (await ask(entrance, unread, "GET"))[0] == 200
        free.set()
        assert [status for status, _, _ in await asyncio.gather(*waiting)] == [200] * MOST
        assert (await ask(entrance, unread))[0] == 200  # there is room again

    asyncio.run(asyncio.wait_for(crowd(), PATIENCE))


def test_bodies_that_come_slowly_shut_nobody_out_and_those_that_came_keep_their_places() -> None:
    answers, ends = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["more_body"]:
            pass
        await answers.wait()
        await answer(send)

    async def slow() -> Message:
        await ends.wait()
        return {"type": "http.request", "body": b"", "more_body": False}

    async def crowd() -> None:
        entrance = ProxyMiddleware(app)
        sent = [asyncio.ensure_future(ask(entrance, slow)) for _ in range(MOST // 2)]
        sent += [asyncio.ensure_future(ask(entrance, whole)) for _ in range(MOST - MOST // 2)]
        await asyncio.sleep(0)
        assert (await ask(entrance, whole))[0] == 429
        await asyncio.sleep(SLOW + 0.5)
        sent += [asyncio.ensure_future(ask(entrance, whole)) for _ in range(MOST // 2)]
        await asyncio.sleep(0)
        assert (await ask(entrance, whole))[0] == 429
        ends.set()
        answers.set()
        assert [status for status, _, _ in await asyncio.gather(*sent)] == [200] * len(sent)

        answers.clear()
        sent = [asyncio.ensure_future(ask(entrance, whole)) for _ in range(MOST)]
        await asyncio.sleep(0)
        assert (await ask(entrance, whole))[0] == 429  # no more are let in than before
        answers.set()
        assert [status for status, _, _ in await asyncio.gather(*sent)] == [200] * MOST

    asyncio.run(asyncio.wait_for(crowd(), PATIENCE))
