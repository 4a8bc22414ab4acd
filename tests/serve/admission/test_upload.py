"""Bodies as they come in, without a server: a request is a list of parts."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from serve.admission.upload import MemoryBudget, read_files
from serve.admission.upload_slots import UploadSlots
from serve.errors import RefusalError
from serve.settings import Settings

SETTINGS = Settings(most_bytes=1000, most_files=3)
FORM = "multipart/form-data; boundary=b"


def read(
    parts: Sequence[bytes], content_type: str = "", length: str = "", held: MemoryBudget | None = None
) -> list[bytes]:
    waiting = list(parts)

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    headers = [(b"content-type", content_type.encode()), (b"content-length", length.encode())]
    request = Request({"type": "http", "headers": headers}, receive)
    with (held or MemoryBudget(10_000, 1)).account() as account:
        return asyncio.run(read_files(request, SETTINGS, account))


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def form(*files: bytes) -> bytes:
    head = b'--b\r\ncontent-disposition: form-data; filename="a\\"b"; name="file"\r\ncontent-type: audio/x\r\n\r\n'
    return b"".join(head + file + b"\r\n" for file in files) + b"--b--\r\n"


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=3), st.lists(st.integers(0, 10_000), max_size=20))
def test_a_form_is_the_same_however_it_is_cut(files: list[bytes], places: list[int]) -> None:
    files = [file.replace(b"\r\n--b", b"") for file in files]
    if len(form(*files)) <= SETTINGS.most_bytes:
        assert read(cut(form(*files), places), FORM) == files


@given(st.binary(max_size=400), st.lists(st.integers(0, 10_000), max_size=5))
def test_no_form_is_a_fault(junk: bytes, places: list[int]) -> None:
    for data in (junk, b"--b\r\n" + junk, form(junk)[:-4] + junk, b"--b\r\n" + junk + b"\r\n\r\n\r\n--b--"):
        with suppress(RefusalError):
            read(cut(data, places), FORM)


@pytest.mark.parametrize("content_type", ["", FORM])
def test_the_limit_counts_what_comes_and_what_is_announced(content_type: str) -> None:
    body = form(bytes(1000)) if content_type else bytes(1001)
    for parts, length in ((cut(body, range(0, 1000, 100)), ""), ([b""], "1001"), ([body], "5")):
        with pytest.raises(RefusalError) as refusal:
            read(parts, content_type, length)
        assert refusal.value.status == 413
    assert read([bytes(1000)], "audio/wav", "1000") == [bytes(1000)]


def test_what_all_bodies_hold_is_bounded_and_given_back() -> None:
    held = MemoryBudget(1500, 7)
    with held.account() as other:
        other.add(800)
        assert read([bytes(700)], held=held) == [bytes(700)]
        assert held.bytes == 800
        with pytest.raises(RefusalError) as refusal:
            read([bytes(400), bytes(301)], held=held)
        assert (refusal.value.status, refusal.value.headers) == (503, {"Retry-After": "7"})
        assert held.bytes == 800
    assert held.bytes == 0


def test_whoever_sends_longest_makes_room() -> None:
    """Three that never end, one that ends at once, and one that was done before."""
    headers: list[dict[str, str]] = []

    async def send(arrivals: UploadSlots, seconds: float) -> int:
        try:
            async with arrivals.one():
                await asyncio.sleep(seconds)
        except RefusalError as refusal:
            headers.append(refusal.headers)
            return refusal.status
        return 200

    async def crowd() -> list[int]:
        arrivals = UploadSlots(2, 7)
        assert await send(arrivals, 0) == 200
        slow = []
        for _ in range(3):
            slow.append(asyncio.ensure_future(send(arrivals, 0.5)))
            await asyncio.sleep(0.01)
        quick = await send(arrivals, 0)
        return [quick, *await asyncio.gather(*slow)]

    assert asyncio.run(crowd()) == [200, 429, 429, 200]
    assert headers == [{"Retry-After": "7", "Connection": "close"}] * 2


def test_a_time_limit_around_a_body_is_not_taken_for_its_place() -> None:
    async def send() -> None:
        async with asyncio.timeout(0.01), UploadSlots(2, 7).one():
            await asyncio.sleep(5)

    with pytest.raises(TimeoutError):
        asyncio.run(send())
