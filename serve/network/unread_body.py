"""Middleware that lets clients receive a response sent before their body has arrived.

A request may be refused early, for example because its body is too large. If the connection were closed while the
client is still sending, the operating system would reset it, and the client, or HAProxy, could lose the response: this
happened to one in 200 bodies just above the limit. The rest of the body is therefore read and discarded before the
response ends, as long as it keeps arriving. A client that pauses has nothing on its way that could cause a reset, so
slow clients do not occupy a replica.
"""

import asyncio
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECONDS = 2.0  # maximum time for which a body is read after the response
PAUSE_SECONDS = 0.1  # time without data after which it is no longer read


class UnreadBodyMiddleware:
    """ASGI middleware around the other middlewares of a proxy or a replica."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, and read the rest of its body before the end of the response."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        is_read = False

        async def receive_and_note() -> Message:
            nonlocal is_read
            message = await receive()
            is_read = message["type"] == "http.disconnect" or not message.get("more_body")
            return message

        async def discard_rest() -> None:
            now = asyncio.get_running_loop().time
            end = now() + SECONDS
            with suppress(TimeoutError):
                while not is_read and now() < end:
                    async with asyncio.timeout_at(min(end, now() + PAUSE_SECONDS)):
                        await receive_and_note()

        async def send_and_discard(message: Message) -> None:
            is_end = message["type"] == "http.response.body" and not message.get("more_body")
            if not is_end or is_read:
                await send(message)
                return
            await send({**message, "more_body": True})
            await discard_rest()
            await send({"type": "http.response.body", "body": b""})

        await self._app(scope, receive_and_note, send_and_discard)
