"""How many bodies a proxy lets in at a time."""

import asyncio
import json
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from serve.entrance import MOST, Entrance


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
