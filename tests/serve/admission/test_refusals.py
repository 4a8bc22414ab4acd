"""Requests over real HTTP are refused at every limit, without server errors."""

import gzip
import io
import re
import select
import socket
import struct
import time
import zlib
from contextlib import ExitStack

import httpx
import numpy as np
import pytest
from PIL import Image

from raygenre.audio.synthesis import synthesise
from serve.admission.limits import UPLOADS
from tests.helpers.decoders import stopped_decoders
from tests.helpers.serving import PORT
from tests.helpers.sounds import encode, tone

WAV = encode(tone(440, seconds=4))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))


def png(width: int, height: int, data: bytes, *, before: bytes = b"") -> bytes:
    start = b"\x89PNG\r\n\x1a\n" + before + header(width, height)
    return start + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def jpeg() -> bytes:
    Image.new("RGB", (432, 288)).save(buffer := io.BytesIO(), "JPEG")
    return buffer.getvalue()


def form(*parts: bytes, boundary: bytes = b"b", end: bytes = b"--b--\r\n") -> tuple[bytes, dict[str, str]]:
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + end
    return body, {"content-type": f"multipart/form-data; boundary={boundary.decode()}"}


def part(data: bytes, name: bytes = b"file") -> bytes:
    return b'Content-Disposition: form-data; name="' + name + b'"; filename="x"\r\n\r\n' + data


def refusal(response: httpx.Response) -> tuple[int, str]:
    """Check that a response contains problem details, and return its status and detail."""
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == response.status_code
    assert problem.keys() - {"errors"} == {"type", "title", "status", "detail", "request_id"}
    return response.status_code, problem["detail"]


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b"", 422, "empty"),
        (b"not music at all", 415, "neither a PNG nor audio"),
        (jpeg(), 415, "neither a PNG nor audio"),
        (b"\x1f\x8b" + zlib.compress(bytes(100)), 415, "neither"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), 422, "PNG"),
        (png(60_000, 60_000, zlib.compress(bytes(1000))), 422, "60000×60000"),
        (png(432, 288, zlib.compress(bytes(50_000_000))), 422, ""),
        (png(60_000, 60_000, b"", before=chunk(b"tEXt", b"a\0b")), 422, "damaged"),
        (png(60_000, 60_000, b"", before=header(432, 288)), 422, "60000×60000"),
        (WAV[:40], 422, "the WAV file is damaged or cut off"),
        (b"ID3" + bytes(2000), 422, "the MP3 file is damaged or cut off"),
        (encode(tone(440, seconds=1)), 422, "at least 3 s"),
        (encode(tone(440, seconds=80), "flac", "flac"), 422, "limit of 70 s"),
        (bytes(6_000_001), 413, "the limit of 6 MB (RAYGENRE_MOST_BYTES)"),
        (b'{"file": "song.mp3"}', 415, "text"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else str(value),
)
@pytest.mark.parametrize("path", ["predict", "spectrogram"])
def test_an_unusable_file_is_refused_with_the_reason(
    endpoint: httpx.Client, path: str, body: bytes, status: int, detail: str
) -> None:
    actual_status, actual_detail = refusal(endpoint.post(f"/v1/{path}", content=body))
    assert actual_status == status
    assert detail in actual_detail


def test_a_chunked_body_is_counted_as_it_arrives(endpoint: httpx.Client) -> None:
    """The response arrives, and the connection is closed, long before the whole body has been sent."""
    sent, answer = 0, b""
    with socket.create_connection(("127.0.0.1", PORT), timeout=0.02) as connection:
        connection.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not answer and sent < 100_000_000:
            try:
                connection.sendall(b"10000\r\n" + bytes(0x10000) + b"\r\n")
                sent += 0x10000
                answer = connection.recv(65_536)
            except TimeoutError:
                continue
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer.lower()
    assert 6_000_000 < sent < 50_000_000


@pytest.mark.parametrize(
    ("request_", "status", "detail"),
    [
        (form(), 422, "no part"),
        (form(part(WAV, b"song")), 422, "not named"),
        (form(b"Content-Type: audio/wav\r\n\r\n" + WAV), 422, "not named"),
        (form(*[part(WAV)] * 4), 413, "more files than the limit of 3"),
        (form(part(WAV), end=b""), 422, "ends before"),
        (form(part(WAV), end=b"--c--"), 422, "ends before"),
        (form(part(b""), part(b"text")), 422, "no file of the form can be classified; file 1 (x): the file is empty"),
        (form(part(b"")), 422, "empty"),
        ((b"no form", {"content-type": "multipart/form-data; boundary=b"}), 422, "malformed"),
        ((b"--b", {"content-type": "multipart/form-data"}), 422, "no boundary"),
        ((b"--b", {"content-type": f"multipart/form-data; boundary={'b' * 71}"}), 422, "no boundary"),
        (form(b"X: " + b"y" * 100_000 + b"\r\n\r\n"), 422, "malformed"),
    ],
)
def test_an_unusable_form_is_refused_with_the_reason(
    endpoint: httpx.Client, request_: tuple[bytes, dict[str, str]], status: int, detail: str
) -> None:
    body, headers = request_
    actual_status, actual_detail = refusal(endpoint.post("/v1/predict", content=body, headers=headers))
    assert actual_status == status
    assert detail in actual_detail


@pytest.mark.parametrize("window", ["-1", "x", "10001", "1.5", "0&window=y"])
def test_an_invalid_window_number_is_refused(endpoint: httpx.Client, window: str) -> None:
    status, detail = refusal(endpoint.post(f"/v1/spectrogram?window={window}", content=WAV))
    assert status == 422
    assert "window" in detail


def test_a_spectrogram_of_two_files_is_refused(endpoint: httpx.Client) -> None:
    assert refusal(endpoint.post("/v1/spectrogram", files=[("file", WAV), ("file", WAV)]))[0] == 422


@pytest.mark.parametrize("path", ["predict", "spectrogram"])
@pytest.mark.parametrize("content_type", ["application/json", "Application/Problem+JSON; charset=utf-8"])
def test_json_is_refused_with_the_right_way(endpoint: httpx.Client, path: str, content_type: str) -> None:
    response = endpoint.post(f"/v1/{path}", content=b'{"file": "song.mp3"}', headers={"content-type": content_type})
    status, detail = refusal(response)
    assert status == 415
    assert "curl --data-binary @song.mp3" in detail


def test_a_gzip_bomb_is_refused(endpoint: httpx.Client) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    response = endpoint.post("/v1/predict", content=bomb, headers={"content-encoding": "gzip"})
    assert refusal(response)[0] == 413
    assert len(bomb) < 100_000


def test_a_body_that_does_not_arrive_in_time_is_refused(endpoint: httpx.Client) -> None:
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", PORT), timeout=30) as connection:
        connection.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nslow")
        answer = connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert 4 < time.monotonic() - started < 20
    assert endpoint.get("/healthz").status_code == 200


def test_an_answer_that_is_not_ready_in_time_is_refused(endpoint: httpx.Client, song: bytes) -> None:
    with stopped_decoders():
        started = time.monotonic()
        response = endpoint.post("/v1/predict", content=song)
    status, detail = refusal(response)
    assert status == 503
    assert re.match(r"the response was not ready within [5-9]\.?\d* s \(RAYGENRE_REQUEST_SECONDS\)", detail)
    assert response.headers["retry-after"] == "2"
    assert 4 < time.monotonic() - started < 20
    assert endpoint.post("/v1/predict", content=song).status_code == 200


def test_slow_clients_do_not_block_others(endpoint: httpx.Client, picture: bytes) -> None:
    """There are more slow clients than slots in a replica and its proxy."""
    with ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", PORT), timeout=10)) for _ in range(100)]
        for connection in slow:
            connection.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nslow")
        time.sleep(1)  # wait until all excess uploads have been refused
        for _ in range(5):
            assert endpoint.get("/readyz").status_code == 200
            assert endpoint.get("/").status_code == 200
            assert endpoint.post("/v1/predict", content=picture).status_code == 200
        answers = [connection.recv(12) for connection in select.select(slow, [], [], 0)[0]]
        assert set(answers) == {b"HTTP/1.1 429"}
        assert len(answers) >= 100 - UPLOADS


def test_a_disconnecting_client_does_no_harm(endpoint: httpx.Client, picture: bytes) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", PORT), timeout=30) as connection:
            connection.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nbye")
    assert endpoint.post("/v1/predict", content=picture).status_code == 200


def test_more_windows_than_fit_into_a_batch_are_answered(endpoint: httpx.Client) -> None:
    samples = np.concatenate([synthesise("bells", seed=1), synthesise("storm", seed=1)])
    song = encode(samples, "mp3", "libmp3lame")
    predictions = endpoint.post("/v1/predict", files=[("file", song)] * 3).json()["predictions"]
    assert [len(answer["windows"]) for answer in predictions] == [2, 2, 2]
