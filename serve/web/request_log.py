"""Middleware that assigns request ids, logs and times requests, and adds security headers.

Unexpected errors become problem details. X-Request-ID is not added here, because Ray Serve adds it to every response,
after `serve.network.proxy_middleware` has checked it.
"""

import asyncio
import time
import uuid
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.errors import problem
from serve.monitoring import logs
from serve.network.proxy_middleware import SAFE_ID
from serve.service import Service

CLIENT_DISCONNECTED = 499  # used only in logs and metrics, because no response is sent

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
}


class RequestLogMiddleware:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request and log it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        client_id = Headers(scope=scope).get("x-request-id", "")
        request_id = client_id if SAFE_ID.fullmatch(client_id) else str(uuid.uuid4())
        facts: dict[str, Any] = {}
        scope.setdefault("state", {}).update(request_id=request_id, facts=facts)
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except (ClientDisconnect, asyncio.CancelledError) as error:
            status = CLIENT_DISCONNECTED
            if isinstance(error, asyncio.CancelledError):
                raise
        except Exception as error:  # noqa: BLE001 (a bug in the endpoint, which is logged and reported as 500)
            logs.error("request failed", error, request_id=request_id)
            if not status:
                detail = "internal error; the log has a traceback for this request id"
                response = problem(500, detail, request_id, path=scope["path"])
                await response(scope, receive, send_with_headers)
        finally:
            seconds = time.perf_counter() - started
            # Use the route's path rather than the client's, so that scanners cannot create arbitrary tag values.
            path = getattr(scope.get("route"), "path", "other")
            self._service.metrics.request(path, status, seconds)
            logs.info(
                "request",
                request_id=request_id,
                method=scope["method"],
                path=path,
                status=status,
                seconds=round(seconds, 4),
                **facts,
            )
