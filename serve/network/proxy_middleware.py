"""The first thing that a request meets, in the process of Ray Serve that takes it in.

Ray reads headers for itself, which set its time limit, keep abandoned work going or choose a replica, and fails over
some that are not UTF-8: they are taken away, and X-Request-ID is replaced where it is not one to be written into logs.
What Ray answers by itself, in plain text or by nothing at all, becomes problem details.

Under overload Ray refuses what it has already passed on in part, at the price of an answer. So what is more than a
proxy could have answered in time is refused here, before its body is read; questions without a body always pass. A body
that comes slowly takes a place for a while only: the replicas see to it that those shut nobody out, see `arrivals.py`.

Ray's proxies, and behind HAProxy the replicas, import `middlewares` by a variable that `proxies.py` sets, so that this
has to be installed wherever they run.
"""

import asyncio
import os
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.errors import problem

SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,100}")
RETRY_AFTER = "2"  # s, where Ray names none
MOST = 96  # bodies in a proxy, which passes on about as many a second; a replica and its queue take 80
SLOW = 5  # s after which a body that is still coming is not one of them

_ID = b"x-request-id"
_SESSION = os.environ.get("RAY_SERVE_SESSION_ID_HEADER_KEY", "x-session-id").lower().replace("-", "_").encode()
_FOR_RAY = frozenset(  # spelt with either sign
    {b"x_request_timeout_seconds", b"x_request_disconnect_disabled", b"serve_multiplexed_model_id", _SESSION}
)
_TOO_LATE = "the answer was not ready in time; try again"
_REFUSALS = {  # Ray's statuses, and what is told instead
    404: (404, "no application answers here"),
    408: (503, _TOO_LATE),  # it does not know whether it waited for the client or for a replica, which waits for less
    429: (429, "too many requests are waiting; try again"),
    503: (503, "no replica can answer at the moment; try again"),
}
_LOST = (503, "the replica that was asked is gone; try again")
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class ProxyMiddleware:
    """ASGI middleware around Ray's own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._bodies = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id, scope["headers"] = _cleaned(scope["headers"])
        started = refused = False

        async def refuse(status: int, detail: str, retry_after: str) -> None:
            headers = _HEADERS | {"X-Request-ID": request_id} | ({} if status == 404 else {"Retry-After": retry_after})
            await problem(status, detail, request_id, headers)(scope, receive, send)

        async def answer(message: Message) -> None:
            nonlocal started, refused
            if message["type"] == "http.response.start":
                started = True
                if message["status"] in _REFUSALS:
                    headers = dict(message["headers"])
                    if refused := headers.get(b"content-type", b"").startswith(b"text/plain"):  # ours are problems
                        retry_after = headers.get(b"retry-after", RETRY_AFTER.encode()).decode()
                        await refuse(*_REFUSALS[message["status"]], retry_after)
            if not refused:
                await send(message)

        if scope.get("method") != "POST":
            await self._app(scope, receive, answer)
        elif self._bodies >= MOST:
            await refuse(*_REFUSALS[429], RETRY_AFTER)
            return
        else:
            with self._place() as keep:

                async def hear() -> Message:
                    message = await receive()
                    if not message.get("more_body"):
                        keep()
                    return message

                await self._app(scope, hear, answer)
        if not started and scope["type"] == "http":  # the client has left, or the replica is dead
            await refuse(*_LOST, RETRY_AFTER)

    @contextmanager
    def _place(self) -> Iterator[Callable[[], None]]:
        """Count a body until it is answered, or until it is slow; yield what is called once all of it has come."""
        self._bodies += 1
        counted = True

        def give_back() -> None:
            nonlocal counted
            self._bodies -= counted
            counted = False

        slow = asyncio.get_running_loop().call_later(SLOW, give_back)
        try:
            yield slow.cancel
        finally:
            slow.cancel()
            give_back()


def middlewares() -> list[Middleware]:
    """Return what Ray puts around its own."""
    return [Middleware(ProxyMiddleware)]


def _cleaned(headers: list[tuple[bytes, bytes]]) -> tuple[str, list[tuple[bytes, bytes]]]:
    """Return the request's id, which is its own if that is sane, and its headers with that alone and none for Ray."""
    request_id, kept = "", []
    for name, value in headers:
        if name == _ID:
            request_id = request_id or value.decode("latin-1")
        elif name.replace(b"-", b"_") not in _FOR_RAY:
            kept.append((name, value))
    if not SANE_ID.fullmatch(request_id):
        request_id = str(uuid.uuid4())
    kept.append((_ID, request_id.encode()))
    return request_id, kept
