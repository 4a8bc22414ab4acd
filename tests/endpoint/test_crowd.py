"""How many bodies a proxy lets in at a time."""

import asyncio
import json
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from serve.entrance import MOST, SLOW, Entrance


async def status(entrance: Entrance, receive: Receive) -> int:
    """Send a body, and return what is told."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await entrance({"type": "http", "method": "POST", "path": "/", "headers": []}, receive, send)
    return int(sent[0]["status"])


def test_bodies_that_come_slowly_shut_nobody_out_and_those_that_came_keep_their_places() -> None:
    answers = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["more_body"]:
            pass
        await answers.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    async def whole() -> Message:
        return {"type": "http.request", "body": b"all of it", "more_body": False}

    async def crowd() -> None:
        ends = asyncio.Event()

        async def slow() -> Message:
            await ends.wait()
            return {"type": "http.request", "body": b"", "more_body": False}

        entrance = Entrance(app)
        coming = [asyncio.ensure_future(status(entrance, slow)) for _ in range(MOST // 2)]
        came = [asyncio.ensure_future(status(entrance, whole)) for _ in range(MOST - MOST // 2)]
        await asyncio.sleep(0)
        assert await status(entrance, whole) == 429
        await asyncio.sleep(SLOW + 0.5)
        came += [asyncio.ensure_future(status(entrance, whole)) for _ in range(MOST // 2)]
        await asyncio.sleep(0)
        assert await status(entrance, whole) == 429
        ends.set()
        answers.set()
        assert await asyncio.gather(*coming, *came) == [200] * (MOST // 2 + MOST)
        assert await status(entrance, whole) == 200

    asyncio.run(crowd())


def test_one_body_too_many_is_told_to_come_again_and_questions_pass() -> None:
    free = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            await free.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    entrance = Entrance(app)

    async def ask(method: str) -> tuple[int, dict[bytes, bytes], bytes]:
        sent: list[Message] = []

        async def receive() -> Message:
            raise AssertionError("nothing is read of a body that is refused")

        async def send(message: Message) -> None:
            sent.append(message)

        scope: dict[str, Any] = {"type": "http", "method": method, "path": "/", "headers": []}
        await entrance(scope, receive, send)
        return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]

    async def crowd() -> None:
        waiting = [asyncio.ensure_future(ask("POST")) for _ in range(MOST)]
        await asyncio.sleep(0)
        status, headers, body = await ask("POST")
        assert (status, headers[b"content-type"]) == (429, b"application/problem+json")
        assert headers[b"retry-after"]
        assert json.loads(body)["request_id"] == headers[b"x-request-id"].decode()
        assert (await ask("GET"))[0] == 200
        free.set()
        assert [status for status, _, _ in await asyncio.gather(*waiting)] == [200] * MOST
        assert (await ask("POST"))[0] == 200  # there is room again

    asyncio.run(crowd())
