"""Requests that nobody would send by mistake: none is a fault of the endpoint, and none leaves memory behind.

A failure names its seed; `mutated(random.Random(seed), files)` makes the request again.
"""

import os
import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
from ray import serve
from starlette.requests import Request

from raygenre.synthesis import synthesise
from tests.endpoint.serving import PORT
from tests.processes import children, titled
from tests.sounds import encode

ALLOWED = {200, 400, 404, 405, 408, 413, 415, 422, 429, 503}
FEW, WARM, MANY = 300, 1_000, 10_000
MOST_GROWTH = 100e6  # bytes, over many requests
CLIENTS = 4

Sent = tuple[str, str, bytes, dict[str, str]]


@pytest.fixture(scope="module")
def files(picture: bytes) -> list[bytes]:
    """A file of each kind, small so that many can be sent."""
    samples = synthesise("bells", seed=9)[: 4 * 22_050]
    high = np.repeat(samples, 2)[: 4 * 48_000]
    kinds = [("wav", "pcm_s16le"), ("flac", "flac"), ("mp3", "libmp3lame"), ("ipod", "aac"), ("asf", "wmav2")]
    kinds += [("aiff", "pcm_s16be"), ("au", "pcm_s16be"), ("adts", "aac")]
    return [
        picture,
        *(encode(samples, container, codec) for container, codec in kinds),
        *(encode(high, container, "libopus", rate=48_000) for container in ("ogg", "webm")),
    ]


def damaged(chance: random.Random, data: bytes, files: list[bytes]) -> bytes:
    """One way in which a file can be wrong."""
    body = bytearray(data)
    start, end = sorted(chance.randrange(len(body)) for _ in range(2))
    match chance.randrange(8):
        case 0:
            return bytes(body[:start])
        case 1:
            for _ in range(chance.randint(1, 50)):
                body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
        case 2:  # in the header, where numbers are believed
            for _ in range(chance.randint(1, 8)):
                body[chance.randrange(min(len(body), 200))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
        case 3:
            body[start:end] = bytes(end - start)
        case 4:
            other = chance.choice(files)
            body[start:] = other[chance.randrange(len(other)) :]
        case 5:
            body[start:start] = body[start:end] * 3
        case 6:
            body += chance.choice(files)
        case 7:
            body[:0] = chance.randbytes(chance.randint(1, 64))
    return bytes(body)


def mutated(chance: random.Random, files: list[bytes]) -> Sent:
    """Method, path, body and headers of one request."""
    file = damaged(chance, chance.choice(files), files)
    path = chance.choice(
        ("/v1/predict", "/v1/predict", "/v1/predict", f"/v1/spectrogram?window={chance.randint(0, 2)}")
    )
    headers = {
        "content-type": chance.choice(("", "image/png", "multipart/form-data; boundary=b", "multipart/form-data"))
    }
    match chance.randrange(12):
        case 0:
            method = chance.choice(("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"))
            return (
                method,
                chance.choice((path, "/", "/docs", "/readyz", "/v1/model", "/%00", "/v1/../healthz")),
                b"",
                {},
            )
        case 1:
            return "POST", path, chance.randbytes(chance.randint(0, 3000)), headers
        case 2:
            return "POST", f"/v1/spectrogram?window={chance.choice(('-1', 'x', '9' * 40, '1e9', '%00', ''))}", file, {}
        case 3 | 4 | 5:
            head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="\xff"\r\n\r\n'
            form = head + file + b"\r\n" + chance.choice((b"--b--\r\n", b"--b\r\n", b"", head * chance.randint(1, 20)))
            form = damaged(chance, form, files) if chance.random() < 0.5 else form
            return "POST", "/v1/predict", form, {"content-type": "multipart/form-data; boundary=b"}
        case 6:
            odd = chance.choice(("\x01", "a" * 5000, "é", "", "bytes"))
            return "POST", path, file, {"x-request-id": odd.encode("latin-1", "ignore").decode("ascii", "ignore")}
    return "POST", path, file, {}


def send_all(files: list[bytes], number: int, first: int) -> Counter[int]:
    """Send requests from seeds, a few at a time."""

    def send(seeds: range) -> Counter[int]:
        found: Counter[int] = Counter()
        with httpx.Client(base_url=f"http://127.0.0.1:{PORT}", timeout=60) as client:
            for seed in seeds:
                method, path, body, headers = mutated(random.Random(seed), files)
                try:
                    response = client.request(method, path, content=body, headers=headers)
                except (httpx.LocalProtocolError, httpx.InvalidURL):
                    continue  # the client's own library would not send it
                except httpx.HTTPError as error:
                    raise AssertionError(f"seed {seed}: {error!r}") from error
                found[response.status_code] += 1
                assert response.status_code in ALLOWED, f"seed {seed}: {response.status_code} {response.text}"
        return found

    with ThreadPoolExecutor(CLIENTS) as pool:
        shares = [range(first + place, first + number, CLIENTS) for place in range(CLIENTS)]
        return sum(pool.map(send, shares), Counter())


def resident(application: str) -> int:
    """Bytes of memory that the replicas of an application hold, and their decoders."""
    pages = 0
    for replica in titled(f"ServeReplica:{application}:"):
        for pid in (replica, *children(replica)):
            with suppress(OSError):
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    assert pages, f"no replica of {application} is there"
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_no_request_is_a_fault_of_the_endpoint(endpoint: httpx.Client, files: list[bytes], picture: bytes) -> None:
    found = send_all(files, FEW, 0)
    assert found[200] > 10
    assert found[415] > 10
    assert found[422] > 30
    assert endpoint.post("/v1/predict", content=picture).status_code == 200


@pytest.mark.slow
@pytest.mark.alone
def test_many_requests_leave_no_memory_behind(
    endpoint: httpx.Client, files: list[bytes], picture: bytes, record_property: Callable[[str, object], None]
) -> None:
    send_all(files, WARM, MANY)
    before = resident("endpoint")
    send_all(files, MANY, 0)
    grown = resident("endpoint") - before
    record_property("MB more after 10 000 requests", round(grown / 1e6))
    assert grown < MOST_GROWTH
    assert endpoint.post("/v1/predict", content=picture).status_code == 200


@serve.deployment
class Leak:
    """Keeps what comes in: the mistake that the test above looks for."""

    def __init__(self) -> None:
        self._kept: list[bytes] = []

    async def __call__(self, request: Request) -> str:
        self._kept.append(await request.body() * 2)  # some 200 kB
        return "kept"


@pytest.mark.slow
@pytest.mark.alone
def test_memory_that_is_left_behind_would_be_noticed(endpoint: httpx.Client, files: list[bytes]) -> None:
    options = Leak.options(ray_actor_options={"num_cpus": 0})  # type: ignore[attr-defined]
    serve.run(options.bind(), name="leak", route_prefix="/leak")
    before = resident("leak")
    for _ in range(WARM):
        endpoint.post("/leak", content=files[0])
    grown = resident("leak") - before
    serve.delete("leak")
    assert grown * MANY / WARM > MOST_GROWTH
