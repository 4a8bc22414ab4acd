"""Request bodies are read without a server; lists of parts represent the requests."""

import asyncio
import gzip
import os
import tracemalloc
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from serve.admission.bodies import (
    BodyStore,
    Content,
    DiskFile,
    Incoming,
    Reservation,
    UploadFolderError,
    size_of,
    start_of,
)
from serve.admission.limits import Limits
from serve.admission.upload import UploadedFile, read_files
from serve.admission.upload_slots import Upload, UploadSlots
from serve.errors import RefusalError
from serve.settings import Settings

LIMITS = Limits.of(Settings(most_bytes=1000, most_files=3, most_held_bytes=10_000, retry_after=7))
FORM = "multipart/form-data; boundary=b"


def upload(
    parts: Sequence[bytes],
    content_type: str = "",
    length: str = "",
    encoding: str = "",
    *,
    store: BodyStore | None = None,
    limits: Limits = LIMITS,
    pause: float = 0,
) -> list[UploadedFile]:
    """Read a body, pausing for `pause` seconds before each part; load files on disk back into memory."""
    remaining = list(parts)

    async def receive() -> dict[str, object]:
        await asyncio.sleep(pause)
        return {"type": "http.request", "body": remaining.pop(0), "more_body": bool(remaining)}

    fields = {"content-type": content_type, "content-length": length, "content-encoding": encoding}
    headers = [(name.encode(), value.encode()) for name, value in fields.items()]
    request = Request({"type": "http", "headers": headers}, receive)

    async def read() -> list[UploadedFile]:
        with (store or BodyStore(limits)).reservation() as reservation:
            files = await read_files(request, limits, reservation, Upload())
            return [UploadedFile(file.name, start_of(file.data, limits.body_bytes)) for file in files]

    return asyncio.run(read())


def read(
    parts: Sequence[bytes],
    content_type: str = "",
    length: str = "",
    encoding: str = "",
    *,
    store: BodyStore | None = None,
    limits: Limits = LIMITS,
    pause: float = 0,
) -> list[bytes]:
    files = upload(parts, content_type, length, encoding, store=store, limits=limits, pause=pause)
    return [start_of(file.data, limits.body_bytes) for file in files]


def refusal(
    parts: Sequence[bytes],
    content_type: str = "",
    encoding: str = "",
    *,
    store: BodyStore | None = None,
    limits: Limits = LIMITS,
    pause: float = 0,
) -> RefusalError:
    with pytest.raises(RefusalError) as refused:
        read(parts, content_type, "", encoding, store=store, limits=limits, pause=pause)
    return refused.value


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
    store = BodyStore(replace(LIMITS, memory_bytes=1500))
    with store.reservation() as reservation:
        reservation.add(memory=800)
        assert read([bytes(700)], store=store) == [bytes(700)]
        assert store.memory_bytes == 800
        refused = refusal([bytes(400), bytes(301)], store=store)
        assert (refused.status, refused.headers) == (503, {"Retry-After": "7"})
        assert store.memory_bytes == 800
    assert store.memory_bytes == 0


@pytest.mark.parametrize("content_type", ["", FORM])
def test_a_body_beyond_4_mb_is_read_from_disk(content_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.admission.bodies.IN_MEMORY", 100)
    contents = [bytes(range(90)), bytes(range(256)), b"last"] if content_type else [bytes(range(200))]
    body = form(*contents) if content_type else contents[0]
    store = BodyStore(replace(LIMITS, memory_bytes=100))
    assert read(cut(body, range(0, 500, 30)), content_type, store=store) == contents
    assert (store.memory_bytes, store.disk_bytes) == (0, 0)


def test_a_file_on_disk_leaves_memory_and_ends_with_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.admission.bodies.IN_MEMORY", 100)
    store = BodyStore(LIMITS)

    async def receive(reservation: Reservation) -> Content:
        file = Incoming(reservation)
        for size in (90, 10, 60):
            await file.append(bytes(size))
        return await file.finish()

    with store.reservation() as reservation:
        content = asyncio.run(receive(reservation))
        assert isinstance(content, DiskFile)
        assert (store.memory_bytes, store.disk_bytes, content.size) == (0, 160, 160)
        duplicate = content.duplicate()
    with pytest.raises(ValueError, match="closed"):
        content.read(1)
    assert os.fstat(duplicate).st_nlink == 0  # the file has no name
    os.close(duplicate)


def test_large_bodies_at_the_same_time_take_little_memory() -> None:
    """The eight bodies of 30 MB each add up to 240 MB."""
    store = BodyStore(replace(LIMITS, body_bytes=50_000_000, memory_bytes=50_000_000))

    async def receive() -> int:
        with store.reservation() as reservation:
            file = Incoming(reservation)
            for _ in range(480):
                await file.append(bytes(62_500))
            await asyncio.sleep(0)
            return size_of(await file.finish())

    async def crowd() -> list[int]:
        return await asyncio.gather(*(receive() for _ in range(8)))

    tracemalloc.start()
    assert asyncio.run(crowd()) == [30_000_000] * 8
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40_000_000  # 4 MB for each body until it moves to disk
    assert (store.memory_bytes, store.disk_bytes) == (0, 0)


def test_the_disk_space_of_all_bodies_is_limited_and_released(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.admission.bodies.IN_MEMORY", 100)
    store = BodyStore(replace(LIMITS, disk_bytes=500))
    assert read([bytes(90), bytes(400)], store=store) == [bytes(490)]
    refused = refusal([bytes(90), bytes(411)], store=store)
    assert (refused.status, refused.headers) == (503, {"Retry-After": "7"})
    assert "RAYGENRE_MOST_STORED_BYTES" in refused.detail
    assert (store.memory_bytes, store.disk_bytes) == (0, 0)


def test_a_full_disk_is_reported_as_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.admission.bodies.IN_MEMORY", 100)
    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: Path("/dev/full").open("wb", buffering=0))  # noqa: SIM115
    refused = refusal([bytes(500)])
    assert refused.status == 503
    assert "RAYGENRE_UPLOAD_FOLDER" in refused.detail


def test_a_folder_that_cannot_take_uploads_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UploadFolderError, match="No such file or directory; set RAYGENRE_UPLOAD_FOLDER"):
        BodyStore(LIMITS, tmp_path / "missing")


PACE = replace(LIMITS, body_bytes=100_000, upload_rate=1000, stall_seconds=0.2)  # at least 200 bytes every 0.2 s


def test_a_slow_body_that_keeps_moving_is_read() -> None:
    """The upload takes three times as long as the longest stall that is allowed."""
    assert read([bytes(250)] * 12, limits=PACE, pause=0.05) == [bytes(3000)]


def test_a_body_below_the_minimum_speed_is_refused() -> None:
    refused = refusal([bytes(10)] * 100, limits=PACE, pause=0.05)
    assert (refused.status, refused.headers) == (408, {"Connection": "close"})
    for words in ("1 kB/s over 0.2 s", "RAYGENRE_UPLOAD_RATE", "raygenre predict"):
        assert words in refused.detail


def test_an_upload_that_takes_too_long_is_refused() -> None:
    refused = refusal([bytes(1000)] * 100, limits=replace(PACE, upload_seconds=0.1), pause=0.02)
    assert refused.status == 408
    assert "RAYGENRE_UPLOAD_SECONDS" in refused.detail


@pytest.mark.parametrize("content_type", ["", FORM])
def test_a_gzip_body_is_decompressed(content_type: str) -> None:
    body = form(b"song" * 50) if content_type else b"song" * 50
    several = gzip.compress(body[:30], mtime=0) + bytes(3) + gzip.compress(body[30:]) + bytes(5)
    for packed in (gzip.compress(body, mtime=0), several):
        for places in ((), range(0, 100, 7)):
            assert read(cut(packed, places), content_type, encoding="gzip") == [b"song" * 50]


def test_a_gzip_bomb_is_decompressed_only_up_to_the_limit() -> None:
    bomb = gzip.compress(bytes(100_000_000), mtime=0)
    limits = replace(LIMITS, body_bytes=2_000_000, memory_bytes=5_000_000)
    tracemalloc.start()
    refused = refusal([bomb], encoding="gzip", limits=limits)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused.status == 413
    assert peak < 10_000_000


@pytest.mark.parametrize(
    ("body", "encoding", "status", "detail"),
    [
        (gzip.compress(b"song" * 50, mtime=0)[:-1], "gzip", 422, "truncated"),
        (gzip.compress(b"song" * 50, mtime=0) + b"junk", "gzip", 422, "damaged"),
        (b"song", "gzip", 422, "damaged"),
        (b"song", "br", 415, "gzip"),
    ],
)
def test_a_damaged_or_unknown_encoding_is_refused(body: bytes, encoding: str, status: int, detail: str) -> None:
    refused = refusal([body], encoding=encoding)
    assert refused.status == status
    assert detail in refused.detail


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


def test_a_slow_upload_is_refused_before_an_older_fast_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.admission.upload_slots._JUDGED_AFTER", 0.05)
    refused: list[str] = []

    async def send(uploads: UploadSlots, name: str, size: int) -> None:
        try:
            async with uploads.slot() as upload:
                upload.bytes = size
                await asyncio.sleep(0.1)
        except RefusalError:
            refused.append(name)

    async def crowd() -> None:
        uploads = UploadSlots(replace(LIMITS, uploads=2))
        sending = []
        for name, size in (("fast", 100_000), ("slow", 100)):
            sending.append(asyncio.ensure_future(send(uploads, name, size)))
            await asyncio.sleep(0)
        await asyncio.sleep(0.06)
        await asyncio.gather(*sending, send(uploads, "new", 0))

    asyncio.run(crowd())
    assert refused == ["slow"]


def test_a_timeout_around_an_upload_slot_stays_a_timeout() -> None:
    async def send() -> None:
        async with asyncio.timeout(0.01), UploadSlots(LIMITS).slot():
            await asyncio.sleep(5)

    with pytest.raises(TimeoutError):
        asyncio.run(send())
