"""Requests are retried only in the right cases, and after the right delay."""

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from raygenre.client import Retries
from raygenre.client.retries import retry_after

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def answer(status: int, wait: str = "") -> httpx.Response:
    return httpx.Response(status, headers={"Retry-After": wait} if wait else {})


def test_waits_double_up_to_a_limit_and_differ_at_random() -> None:
    retries = Retries(attempts=9, first_wait=1, longest_wait=10, generator=random.Random(0))
    waits = [retries.wait(attempt, answer(503)) or 0 for attempt in range(1, 9)]
    for wait, longest in zip(waits, (1, 2, 4, 8, 10, 10, 10, 10), strict=True):
        assert longest / 2 <= wait <= longest
    assert len(set(waits)) == len(waits)


def test_no_attempt_follows_the_last_one() -> None:
    assert Retries(attempts=1).wait(1, answer(503)) is None
    assert Retries(attempts=3).wait(2, answer(503)) is not None
    assert Retries(attempts=3).wait(3, answer(503)) is None


@pytest.mark.parametrize("status", [301, 400, 401, 404, 408, 413, 415, 422, 500])
def test_other_statuses_are_final(status: int) -> None:
    assert Retries().wait(1, answer(status, "1")) is None


@pytest.mark.parametrize("status", [429, 502, 503])
def test_retry_after_is_the_shortest_wait(status: int) -> None:
    retries = Retries(first_wait=0.1)
    assert retries.wait(1, answer(status, "7")) == 7
    assert retries.wait(1, answer(status, "31")) is None  # longer than any user wants to wait


@pytest.mark.parametrize(
    ("error", "is_retried"),
    [
        (httpx.ConnectError, True),
        (httpx.ConnectTimeout, True),
        (httpx.ReadError, True),
        (httpx.WriteError, True),
        (httpx.RemoteProtocolError, True),
        (httpx.ReadTimeout, False),
        (httpx.WriteTimeout, False),
        (httpx.LocalProtocolError, False),
        (httpx.ProxyError, False),
    ],
)
def test_only_errors_of_the_connection_are_retried(error: type[httpx.TransportError], is_retried: bool) -> None:
    assert (Retries().wait(1, error("")) is not None) == is_retried


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", 0),
        ("0", 0),
        ("120", 120),
        ("-5", 0),
        ("1.5", 0),
        ("²", 0),
        ("soon", 0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0),
    ],
)
def test_retry_after_is_a_number_or_a_date(text: str, seconds: float) -> None:
    assert retry_after(httpx.Headers([(b"Retry-After", text.encode())]), NOW) == seconds


@pytest.mark.parametrize(("attempts", "wait"), [(0, 1), (1, -1)])
def test_impossible_retries_are_refused(attempts: int, wait: float) -> None:
    with pytest.raises(ValueError, match="at least"):
        Retries(attempts=attempts, first_wait=wait)
    with pytest.raises(ValueError, match="at least"):
        Retries(attempts=attempts, longest_wait=wait)
