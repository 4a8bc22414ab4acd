"""Malformed and hostile requests cause no server errors and leak no memory.

A failure reports its seed; `mutations.generate(seed, corpus)` recreates the request.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from ray import serve
from starlette.requests import Request

from raygenre.audio.synthesis import synthesise
from tests.helpers import hostile
from tests.helpers.load import LOST
from tests.helpers.memory import Watch
from tests.helpers.mutations import Corpus, generate
from tests.helpers.raw import RawRequest, plain, send
from tests.helpers.serving import PORT
from tests.helpers.sounds import encode

ALLOWED = {200, 400, 404, 405, 408, 413, 415, 422, 429, 503}
FEW, WARM, MANY = 150, 1_000, 5_000
MAX_GROWTH = 80e6  # bytes, after many requests
MAX_PEAK = 500e6  # bytes, in the replica
CLIENTS = 8


@pytest.fixture(scope="module")
def corpus(picture: bytes) -> Corpus:
    """A small valid file of each type, and hostile files."""
    samples = synthesise("bells", seed=9)[: 4 * 22_050]
    high = np.repeat(samples, 2)[: 4 * 48_000]
    kinds = [("wav", "pcm_s16le"), ("flac", "flac"), ("mp3", "libmp3lame"), ("ipod", "aac"), ("asf", "wmav2")]
    kinds += [("aiff", "pcm_s16be"), ("au", "pcm_s16be"), ("adts", "aac")]
    good = [
        picture,
        *(encode(samples, container, codec) for container, codec in kinds),
        *(encode(high, container, "libopus", rate=48_000) for container in ("ogg", "webm")),
    ]
    bombs = hostile.picture_bombs() | hostile.sound_bombs()
    return Corpus(good, [*bombs.values(), *hostile.polyglots(picture, good[1]).values()])


def send_all(corpus: Corpus, seeds: Iterable[int]) -> Counter[int]:
    """Send the requests for some seeds, a few at a time; return the number of responses by status."""

    def send_seed(seed: int) -> int:
        request = generate(seed, corpus)
        try:
            status, content = send(PORT, request)
        except OSError as error:
            raise AssertionError(f"seed {seed}: {error!r}") from error
        # HAProxy responds to the HTTP/2 preface in HTTP/2, which this client cannot read.
        is_answered = not request.disconnects and not request.pieces[0].startswith(b"PRI ")
        allowed = ALLOWED if is_answered else ALLOWED | {LOST}
        assert status in allowed, f"seed {seed}: {status} {content!r} to {request.pieces[0][:200]!r}"
        return status

    with ThreadPoolExecutor(CLIENTS) as pool:
        return Counter(pool.map(send_seed, seeds))


def has_headers(request: RawRequest) -> bool:
    """Return False for requests without complete HTTP/1 headers, for which HAProxy waits 30 s."""
    return b"\r\n\r\n" in b"".join(request.pieces) and not request.pieces[0].startswith(b"PRI ")


def check(counts: Counter[int]) -> None:
    """Check that enough responses are 200, 415 and 422, and that 503 is rare."""
    number = counts.total()
    assert counts[200] > number / 30, counts
    assert counts[415] > number / 30, counts
    assert counts[422] > number / 10, counts
    assert counts[503] <= number / 100, counts


def test_no_request_causes_a_server_error(endpoint: httpx.Client, corpus: Corpus, picture: bytes) -> None:
    quick = (seed for seed in itertools.count() if has_headers(generate(seed, corpus)))
    check(send_all(corpus, itertools.islice(quick, FEW)))
    assert endpoint.post("/v1/predict", content=picture).status_code == 200


def test_no_hostile_file_causes_a_server_error(endpoint: httpx.Client, corpus: Corpus, picture: bytes) -> None:
    """Send all hostile files; the test above sends only some of them."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        responses = list(pool.map(lambda file: send(PORT, plain("POST", "/v1/predict", file)), corpus.hostile))
    assert {status for status, _ in responses} <= {200, 415, 422}, responses
    assert endpoint.post("/v1/predict", content=picture).status_code == 200


@pytest.mark.slow
def test_many_requests_leak_no_memory(
    endpoint: httpx.Client, corpus: Corpus, picture: bytes, record_property: Callable[[str, object], None]
) -> None:
    send_all(corpus, range(MANY, MANY + WARM))
    watch = Watch("endpoint")
    counts = send_all(corpus, range(MANY))
    change = watch.change()
    record_property("statuses", dict(counts))
    record_property("MB of growth after 5000 requests", round(change.grown / 1e6))
    record_property("MB of growth at peak", round(change.peak / 1e6))
    check(counts)
    assert change.grown < MAX_GROWTH
    assert change.peak < MAX_PEAK
    assert endpoint.post("/v1/predict", content=picture).status_code == 200


@serve.deployment
class Leak:
    """Leaks memory by keeping every body; the test above must detect such a leak."""

    def __init__(self) -> None:
        self._kept: list[bytes] = []

    async def __call__(self, request: Request) -> str:
        self._kept.append(await request.body() * 2)  # about 100 kB
        return "kept"


@pytest.mark.slow
def test_the_memory_test_detects_a_leak(endpoint: httpx.Client, corpus: Corpus) -> None:
    options = Leak.options(ray_actor_options={"num_cpus": 0})  # type: ignore[attr-defined]
    serve.run(options.bind(), name="leak", route_prefix="/leak")
    request = plain("POST", "/leak", corpus.good[0])
    try:
        watch = Watch("leak")
        with ThreadPoolExecutor(CLIENTS) as pool:
            assert {status for status, _ in pool.map(lambda _: send(PORT, request), range(WARM))} == {200}
        grown = watch.change().grown
    finally:
        serve.delete("leak")
    assert grown * MANY / WARM > MAX_GROWTH
