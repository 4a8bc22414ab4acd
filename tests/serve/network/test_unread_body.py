"""Tests for the middleware that reads the rest of a body after an early response."""

import asyncio
import itertools
import time
from collections.abc import Iterable

import pytest
from starlette.types import Message, Receive, Scope, Send

from serve.network import unread_body
from serve.network.unread_body import UnreadBodyMiddleware

PART: Message = {"type": "http.request", "body": b"part", "more_body": True}
LAST: Message = {"type": "http.request", "body": b"last", "more_body": False}
DISCONNECT: Message = {"type": "http.disconnect"}


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse the request before the body is read."""
    await send({"type": "http.response.start", "status": 413, "headers": []})
    await send({"type": "http.response.body", "body": b"too large"})


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body, and respond."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})


def events(app: object, arriving: Iterable[Message], *, method: str = "POST") -> list[str]:
    """Return what the middleware receives and sends, in order; after the messages, nothing else arrives."""
    happened: list[str] = []
    waiting = iter(arriving)

    async def receive() -> Message:
        if (message := next(waiting, None)) is None:
            await asyncio.Event().wait()
            raise AssertionError
        happened.append("received")
        return message

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            happened.append("more" if message.get("more_body") else "end")

    asyncio.run(UnreadBodyMiddleware(app)({"type": "http", "method": method}, receive, send))  # type: ignore[arg-type]
    return happened


@pytest.mark.parametrize("end", [LAST, DISCONNECT], ids=["last-part", "disconnect"])
def test_the_rest_of_a_body_is_read_before_a_response_ends(end: Message) -> None:
    assert events(refuse, [PART, PART, end]) == ["more", "received", "received", "received", "end"]


def test_nothing_is_read_after_the_whole_body_has_arrived() -> None:
    assert events(answer, [PART, LAST]) == ["received", "received", "end"]


def test_requests_without_a_body_are_passed_on() -> None:
    assert events(refuse, [], method="GET") == ["end"]


def test_an_endless_body_is_read_for_a_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread_body, "SECONDS", 0.05)
    first, *received, last = events(refuse, itertools.repeat(PART))
    assert (first, last) == ("more", "end")
    assert set(received) == {"received"}


def test_a_pausing_client_does_not_delay_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread_body, "SECONDS", 60)
    started = time.monotonic()
    assert events(refuse, [PART]) == ["more", "received", "end"]
    assert time.monotonic() - started < 10
