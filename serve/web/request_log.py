"""Around every request: its id, its time, its log line and metrics, the headers of its answer.

Whatever goes wrong inside comes out as problem details. Ray Serve itself puts X-Request-ID onto every answer, which
`entrance.py` sees to be sane.
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
from serve.network.proxy_middleware import SANE_ID
from serve.service import Service

CLIENT_LEFT = 499  # in logs and metrics only: there is nobody to answer

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
}


class RequestLogMiddleware:
    """ASGI middleware over the whole application."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if SANE_ID.fullmatch(given) else str(uuid.uuid4())
        facts: dict[str, Any] = {}
        scope.setdefault("state", {}).update(request_id=request_id, facts=facts)
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except (ClientDisconnect, asyncio.CancelledError) as error:
            status = CLIENT_LEFT
            if isinstance(error, asyncio.CancelledError):
                raise
        except Exception as error:  # noqa: BLE001 (the last resort: a fault of ours, told as one)
            logs.error("request failed", error, request_id=request_id)
            if not status:
                await problem(500, "a fault of the endpoint; its log has more", request_id)(scope, receive, answer)
        finally:
            seconds = time.perf_counter() - started
            # The route's own path, so that scanners cannot make up metrics; unknown ones are one.
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
