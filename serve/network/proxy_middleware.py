"""Middleware around every request in Ray Serve's proxies.

It does three things:
- Removes headers that let clients set Ray's timeout, keep abandoned requests running or choose a replica; some of these
  headers crash Ray if they are not UTF-8. It also replaces an X-Request-ID that is unsafe to log.
- Turns Ray's own errors, which are plain text or empty responses, into problem details.
- Refuses requests beyond the proxy's limit before their bodies are read (see `serve.admission.proxy_slots`). Requests
  without a body, such as probes, always pass.

Ray's proxies (and the replicas, if HAProxy is used) import `middlewares` from the path in `proxy_environment.py`, so
this project must be installed on every node that runs a proxy.
"""

import os
import re
import uuid

from ray.serve import get_replica_context
from ray.serve.exceptions import RayServeException
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.admission.limits import Limits, LimitSettings
from serve.admission.proxy_slots import ProxySlots
from serve.errors import problem
from serve.network.unread_body import UnreadBodyMiddleware

SAFE_ID = re.compile(r"[A-Za-z0-9._:-]{1,100}")

_ID = b"x-request-id"
_SESSION = os.environ.get("RAY_SERVE_SESSION_ID_HEADER_KEY", "x-session-id").lower().replace("-", "_").encode()
_RAY_HEADERS = frozenset(  # clients may use - or _ in these names
    {b"x_request_timeout_seconds", b"x_request_disconnect_disabled", b"serve_multiplexed_model_id", _SESSION}
)
_REFUSALS = {  # status of Ray's own response → status and detail of the response that replaces it
    404: (404, "no application at this path"),
    # Ray does not report whether the client or the replica timed out. Replicas time out before Ray does, so Ray's 408
    # becomes 503.
    408: (503, "the response was not ready in time; retry later"),
    429: (429, "too many requests are waiting; retry later"),
    503: (503, "no replica is available; retry later"),
}
# Ray does not need to detect disconnected clients in a replica, because `serve.web.client_disconnect` does so.
_DO_NOT_WATCH = (b"x-request-disconnect-disabled", b"?1")
_REPLICA_LOST = (503, "the replica stopped before it responded; retry later")
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class ProxyMiddleware:
    """ASGI middleware around Ray's own application in a proxy or in a replica."""

    def __init__(self, app: ASGIApp, limits: Limits, *, is_replica: bool = False) -> None:
        self._app = app
        self._own_headers = [_DO_NOT_WATCH] if is_replica else []
        self._retry_after = str(limits.retry_after)
        self._slots = ProxySlots(limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id, headers = _clean(scope["headers"])
        scope["headers"] = headers + self._own_headers
        is_started = is_refused = False

        async def refuse(status: int, detail: str, retry_after: str = self._retry_after) -> None:
            headers = _HEADERS | {"X-Request-ID": request_id} | ({} if status == 404 else {"Retry-After": retry_after})
            await problem(status, detail, request_id, headers, path=scope["path"])(scope, receive, send)

        async def send_or_refuse(message: Message) -> None:
            nonlocal is_started, is_refused
            if message["type"] == "http.response.start":
                is_started = True
                if message["status"] in _REFUSALS:
                    sent = dict(message["headers"])
                    # Only Ray's own errors are plain text; replicas send problem details.
                    is_refused = sent.get(b"content-type", b"").startswith(b"text/plain")
                    if is_refused:  # Ray sends the Retry-After from the deployment's options only with a 429
                        retry_after = sent.get(b"retry-after", self._retry_after.encode()).decode()
                        await refuse(*_REFUSALS[message["status"]], retry_after)
            if not is_refused:
                await send(message)

        if scope.get("method") != "POST":
            await self._app(scope, receive, send_or_refuse)
        elif self._slots.is_full:
            await refuse(*_REFUSALS[429])
            return
        else:
            with self._slots.slot() as keep_slot:

                async def receive_body() -> Message:
                    message = await receive()
                    if not message.get("more_body"):
                        keep_slot()
                    return message

                await self._app(scope, receive_body, send_or_refuse)
        if not is_started and scope["type"] == "http":  # the client disconnected, or the replica died
            await refuse(*_REPLICA_LOST)


def middlewares() -> list[Middleware]:
    """Return the middlewares for this process, a proxy or a replica, with the limits from its environment."""
    try:
        get_replica_context()
        is_replica = True
    except RayServeException:
        is_replica = False
    own = Middleware(ProxyMiddleware, limits=Limits.of(LimitSettings()), is_replica=is_replica)
    return [own, Middleware(UnreadBodyMiddleware)]  # the last one is the outermost


def _clean(headers: list[tuple[bytes, bytes]]) -> tuple[str, list[tuple[bytes, bytes]]]:
    """Return the request id, and the headers to pass on.

    The id is the client's id if that is safe to log, and otherwise a new id. The headers include this id, but no
    headers that are meant for Ray.
    """
    request_id, kept = "", []
    for name, value in headers:
        if name == _ID:
            request_id = request_id or value.decode("latin-1")
        elif name.replace(b"-", b"_") not in _RAY_HEADERS:
            kept.append((name, value))
    if not SAFE_ID.fullmatch(request_id):
        request_id = str(uuid.uuid4())
    kept.append((_ID, request_id.encode()))
    return request_id, kept
