"""Requests at a steady rate, or as fast as some clients can, each on a connection of its own.

A request is a path and the file that is sent there, or None to ask for the path alone.
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
LOST = 0  # the status of a request that got no answer at all


@dataclass(frozen=True)
class Reply:
    """When a request began and how long it took, in s; its status, and what came back."""

    began: float
    took: float
    status: int
    content: bytes


def ask(port: int, request: Request, *, host: str = HERE, headers: Mapping[str, str] | None = None) -> Reply:
    """Send one request; nothing is tried twice."""
    path, body = request
    began = time.monotonic()
    connection = http.client.HTTPConnection(host, port, timeout=60)
    try:
        connection.request("GET" if body is None else "POST", path, body, headers or {})
        response = connection.getresponse()
        status, content = response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        status, content = LOST, repr(error).encode()
    finally:
        connection.close()
    return Reply(began, time.monotonic() - began, status, content)


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
    """Send a number of requests, so many a second, these in turns, whatever comes of them.

    Args:
        meanwhile: what is done after a third of them.
    """
    with ThreadPoolExecutor(500) as pool:
        began = time.monotonic()
        sent = []
        for place in range(number):
            time.sleep(max(0.0, began + place / rate - time.monotonic()))
            if place == number // 3:
                doing = pool.submit(meanwhile)
            sent.append(pool.submit(ask, port, requests[place % len(requests)], host=host, headers=headers))
        doing.result()
        return [reply.result() for reply in sent]


def crowd(port: int, request: Request, *, clients: int, seconds: float) -> list[Reply]:
    """Have clients send the same over and over for some seconds."""
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
