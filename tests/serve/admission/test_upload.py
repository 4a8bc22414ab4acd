"""Tests for reading request bodies without a server; a request is a list of parts."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from serve.admission.limits import Limits
from serve.admission.upload import MemoryBudget, UploadedFile, read_files
from serve.admission.upload_slots import UploadSlots
from serve.errors import RefusalError
from serve.settings import Settings

LIMITS = Limits.of(Settings(most_bytes=1000, most_files=3, most_held_bytes=10_000, retry_after=7))
FORM = "multipart/form-data; boundary=b"


def upload(
    parts: Sequence[bytes], content_type: str = "", length: str = "", memory: MemoryBudget | None = None
) -> list[UploadedFile]:
    remaining = list(parts)

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": remaining.pop(0), "more_body": bool(remaining)}

    headers = [(b"content-type", content_type.encode()), (b"content-length", length.encode())]
    request = Request({"type": "http", "headers": headers}, receive)
    with (memory or MemoryBudget(LIMITS)).reservation() as reservation:
        return asyncio.run(read_files(request, LIMITS, reservation))


def read(
    parts: Sequence[bytes], content_type: str = "", length: str = "", memory: MemoryBudget | None = None
) -> list[bytes]:
    return [file.data for file in upload(parts, content_type, length, memory)]


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def form(*files: bytes) -> bytes:
    head = b'--b\r\ncontent-disposition: form-data; filename="a\\"b"; name="file"\r\ncontent-type: audio/x\r\n\r\n'
    return b"".join(head + file + b"\r\n" for file in files) + b"--b--\r\n"


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=3), st.lists(st.integers(0, 10_000), max_size=20))
def test_a_form_is_parsed_the_same_however_it_is_split(files: list[bytes], places: list[int]) -> None:
    files = [file.replace(b"\r\n--b", b"") for file in files]
    if len(form(*files)) <= LIMITS.body_bytes:
        assert read(cut(form(*files), places), FORM) == files


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        (b'name="file"; filename="a;b.mp3"', "a;b.mp3"),
        ('name="file"; filename="caf\u00e9.mp3"'.encode(), "caf\u00e9.mp3"),
        (b'name="file"; filename="caf\xe9.mp3"', "caf\ufffd.mp3"),
        (b'name="file"', ""),
    ],
)
def test_the_files_of_a_form_keep_their_names(disposition: bytes, name: str) -> None:
    body = b"--b\r\ncontent-disposition: form-data; " + disposition + b"\r\n\r\nsong\r\n--b--\r\n"
    assert upload([body], FORM) == [UploadedFile(name, b"song")]


@given(st.binary(max_size=400), st.lists(st.integers(0, 10_000), max_size=5))
def test_no_form_causes_an_unexpected_error(junk: bytes, places: list[int]) -> None:
    for data in (junk, b"--b\r\n" + junk, form(junk)[:-4] + junk, b"--b\r\n" + junk + b"\r\n\r\n\r\n--b--"):
        with suppress(RefusalError):
            read(cut(data, places), FORM)


@pytest.mark.parametrize("content_type", ["", FORM])
def test_the_size_limit_counts_received_and_announced_bytes(content_type: str) -> None:
    body = form(bytes(1000)) if content_type else bytes(1001)
    for parts, length in ((cut(body, range(0, 1000, 100)), ""), ([b""], "1001"), ([body], "5")):
        with pytest.raises(RefusalError) as refusal:
            read(parts, content_type, length)
        assert refusal.value.status == 413
    assert read([bytes(1000)], "audio/wav", "1000") == [bytes(1000)]


def test_the_memory_of_all_bodies_is_limited_and_released() -> None:
    memory = MemoryBudget(replace(LIMITS, memory_bytes=1500))
    with memory.reservation() as reservation:
        reservation.add(800)
        assert read([bytes(700)], memory=memory) == [bytes(700)]
        assert memory.bytes == 800
        with pytest.raises(RefusalError) as refusal:
            read([bytes(400), bytes(301)], memory=memory)
        assert (refusal.value.status, refusal.value.headers) == (503, {"Retry-After": "7"})
        assert memory.bytes == 800
    assert memory.bytes == 0


def test_the_longest_running_upload_is_refused() -> None:
    """The two oldest of three slow uploads are refused; fast uploads before and after them succeed."""
    headers: list[dict[str, str]] = []

    async def send(uploads: UploadSlots, seconds: float) -> int:
        try:
            async with uploads.slot():
                await asyncio.sleep(seconds)
        except RefusalError as refusal:
            headers.append(refusal.headers)
            return refusal.status
        return 200

    async def crowd() -> list[int]:
        uploads = UploadSlots(replace(LIMITS, uploads=2))
        assert await send(uploads, 0) == 200
        slow = []
        for _ in range(3):
            slow.append(asyncio.ensure_future(send(uploads, 0.5)))
            await asyncio.sleep(0.01)
        fast = await send(uploads, 0)
        return [fast, *await asyncio.gather(*slow)]

    assert asyncio.run(crowd()) == [200, 429, 429, 200]
    assert headers == [{"Retry-After": "7", "Connection": "close"}] * 2


def test_a_timeout_around_an_upload_slot_stays_a_timeout() -> None:
    async def send() -> None:
        async with asyncio.timeout(0.01), UploadSlots(LIMITS).slot():
            await asyncio.sleep(5)

    with pytest.raises(TimeoutError):
        asyncio.run(send())
