"""Middleware that answers HEAD requests like GET requests, but without content.

HTTP requires servers to do this; FastAPI itself responds with 405.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadMiddleware:
    """ASGI middleware around all routes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request; the headers are those of GET, including Content-Length."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_without_content(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        # The routes get a copy of the scope, because the server also needs the real method. They store the path for the
        # log in this copy.
        as_get = {**scope, "method": "GET"}
        try:
            await self._app(as_get, receive, send_without_content)
        finally:
            if "route" in as_get:
                scope["route"] = as_get["route"]
