"""Generates load on an endpoint, at a constant rate or as fast as several clients can send.

Each request has its own connection. A request is a path and the file to POST to it; if the file is None, the request is
a GET.
"""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

Request = tuple[str, bytes | None]
HERE = "127.0.0.1"
LOST = 0  # status of a request without a response


@dataclass(frozen=True)
class Reply:
    """A request's start and duration in seconds, and its response's status and content."""

    started: float
    took: float
    status: int
    content: bytes


def ask(port: int, request: Request, *, host: str = HERE, headers: Mapping[str, str] | None = None) -> Reply:
    """Send a request, without retries."""
    path, body = request
    started = time.monotonic()
    connection = http.client.HTTPConnection(host, port, timeout=60)
    try:
        connection.request("GET" if body is None else "POST", path, body, headers or {})
        response = connection.getresponse()
        status, content = response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        status, content = LOST, repr(error).encode()
    finally:
        connection.close()
    return Reply(started, time.monotonic() - started, status, content)


def steady(
    port: int,
    requests: list[Request],
    *,
    rate: float,
    number: int,
    meanwhile: Callable[[], object] = lambda: None,
    host: str = HERE,
    headers: Mapping[str, str] | None = None,
) -> list[Reply]:
    """Send `number` requests at `rate` per second, cycling through `requests`, without waiting for responses.

    Args:
        meanwhile: function to call after a third of the requests.
    """
    with ThreadPoolExecutor(500) as pool:
        started = time.monotonic()
        sent = []
        for place in range(number):
            time.sleep(max(0.0, started + place / rate - time.monotonic()))
            if place == number // 3:
                doing = pool.submit(meanwhile)
            sent.append(pool.submit(ask, port, requests[place % len(requests)], host=host, headers=headers))
        doing.result()
        return [reply.result() for reply in sent]


def crowd(port: int, request: Request, *, clients: int, seconds: float) -> list[Reply]:
    """Have several clients send the same request repeatedly for the given time."""
    until, replies = time.monotonic() + seconds, []

    def client() -> None:
        while time.monotonic() < until:
            replies.append(ask(port, request))

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return replies


def statuses(replies: list[Reply]) -> Counter[int]:
    return Counter(reply.status for reply in replies)
