"""The work on a request ends when its client disconnects."""

import asyncio

from starlette.types import Message, Receive, Scope, Send

from serve.web.client_disconnect import ClientDisconnectMiddleware

BODY: list[Message] = [{"type": "http.request", "body": b"a", "more_body": True}, {"type": "http.request"}]


def handle(*, disconnects: bool, seconds: float) -> list[str]:
    """Handle a request that keeps the application busy for the given time; return the events in order."""
    events: list[str] = []
    messages = list(BODY)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            while (await receive()).get("more_body"):
                pass
            await asyncio.sleep(seconds)
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"{}"})
        except asyncio.CancelledError:
            events.append("cancelled")
            raise

    async def receive() -> Message:
        if messages:
            return messages.pop(0)
        await asyncio.sleep(0 if disconnects else 60)
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        events.append(message["type"])

    async def request() -> None:
        await asyncio.wait_for(ClientDisconnectMiddleware(app)({"type": "http"}, receive, send), 5)
        await asyncio.sleep(0)  # a cancellation that was not revoked would end this task here

    asyncio.run(request())
    return events


def test_work_ends_when_the_client_disconnects() -> None:
    assert handle(disconnects=True, seconds=60) == ["cancelled"]


def test_a_client_that_waits_gets_its_answer() -> None:
    assert handle(disconnects=False, seconds=0.01) == ["http.response.start", "http.response.body"]


def test_a_client_that_leaves_after_the_answer_cancels_nothing() -> None:
    assert handle(disconnects=True, seconds=0)[-1] in ("http.response.body", "cancelled")
