"""Middleware that ends the work on a request when its client disconnects.

Ray Serve's replicas could do this too, but they would read each body into an unlimited queue, no matter how slowly the
application consumes it. `serve/network/proxy_middleware.py` therefore disables this feature. If a client disconnects
before it has sent its whole body, reading the body fails. After the body has arrived, this middleware watches for a
disconnect.
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class ClientDisconnectMiddleware:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, and cancel the work on it if the client disconnects."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        work = asyncio.current_task()
        assert work
        watch: asyncio.Task[None] | None = None
        is_answered = has_left = False

        async def wait_for_disconnect() -> None:
            nonlocal has_left
            while (await receive())["type"] != "http.disconnect":
                pass
            if not is_answered:
                has_left = True
                work.cancel()

        async def receive_body() -> Message:
            nonlocal watch
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body") and watch is None:
                watch = asyncio.create_task(wait_for_disconnect())
            return message

        async def send_and_note(message: Message) -> None:
            nonlocal is_answered
            if message["type"] == "http.response.body" and not message.get("more_body"):
                is_answered = True
            await send(message)

        try:
            await self._app(scope, receive_body, send_and_note)
        except asyncio.CancelledError:
            if not has_left:
                raise
            work.uncancel()
        finally:
            if watch:
                watch.cancel()
