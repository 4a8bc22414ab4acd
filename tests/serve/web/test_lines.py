"""Answers as lines: their content, their timing, and how they end."""

import asyncio
import base64
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from starlette.requests import Request

from raygenre.audio.synthesis import synthesise
from raygenre.inputs.features import Features
from raygenre.inputs.kind import Song
from raygenre.inputs.levels import LEVELS
from raygenre.registry.versions import Fetched
from raygenre.spectrogram.colour_map import MAGMA
from raygenre.system.storage import Storage
from serve.admission.api_keys import Keys
from serve.admission.deadline import Deadline
from serve.inference.batching import BatchError
from serve.inference.live_models import LiveModel
from serve.service import Service
from serve.settings import Settings
from serve.web.lines import MEDIA_TYPE, accepts_lines
from serve.web.routes import build
from tests.helpers.musicnn import small_head
from tests.helpers.serving import GENRES
from tests.helpers.sounds import encode

LINES = {"Accept": MEDIA_TYPE}


def read(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith(MEDIA_TYPE)
    return [json.loads(line) for line in response.text.splitlines()]


@pytest.fixture(scope="module")
def long_song() -> bytes:
    """A seven-minute song with fourteen windows."""
    return encode(np.tile(synthesise("bells", seed=0), 14), "mp3", "libmp3lame")


def test_the_last_line_is_the_answer_and_the_others_its_windows(endpoint: httpx.Client, song: bytes) -> None:
    whole = endpoint.post("/v1/predict", content=song).json()
    *windows, answer = read(endpoint.post("/v1/predict", content=song, headers=LINES))
    assert windows == answer["windows"]
    assert [window["number"] for window in windows] == [0, 1]
    assert answer["probabilities"] == pytest.approx(whole["probabilities"], abs=1e-6)
    assert answer["model"] == whole["model"]


def test_pictures_are_the_networks_input(endpoint: httpx.Client, song: bytes) -> None:
    *windows, answer = read(endpoint.post("/v1/predict?pictures=true", content=song, headers=LINES))
    for window, levels in zip(windows, LEVELS.read(song).windows, strict=True):
        picture = Image.open(io.BytesIO(base64.b64decode(window["picture"])))
        assert np.array_equal(np.asarray(picture.convert("RGB")), MAGMA[levels[::-1]])
    assert not any("picture" in window for window in answer["windows"])


def test_a_png_has_only_the_answer(endpoint: httpx.Client, picture: bytes) -> None:
    [answer] = read(endpoint.post("/v1/predict?pictures=true", content=picture, headers=LINES))
    assert answer["genre"] == endpoint.post("/v1/predict", content=picture).json()["genre"]


def test_an_error_before_the_first_line_has_its_status(endpoint: httpx.Client, song: bytes) -> None:
    response = endpoint.post("/v1/predict", content=b"not music", headers=LINES)
    assert (response.status_code, response.headers["content-type"]) == (415, "application/problem+json")
    files = [("file", ("a.mp3", song)), ("file", ("b.mp3", song))]
    assert endpoint.post("/v1/predict", files=files, headers=LINES).status_code == 422


@pytest.fixture
def service(storage: Storage, tmp_path: Path, ray_cluster: None, request: pytest.FixtureRequest) -> Iterator[Service]:
    """A replica's service in this process; the parameter limits the duration of the audio, in seconds."""
    most_seconds = getattr(request, "param", 1800)
    settings = Settings(storage=str(storage.root), decoders=1, upload_folder=tmp_path, most_seconds=most_seconds)
    started = Service(settings, Keys.of(settings))
    yield started
    started.decoders.close()


async def post(service: Service, file: bytes, query: str = "") -> httpx.Response:
    transport = httpx.ASGITransport(build(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.post(f"/v1/predict{query}", content=file, headers=LINES)


@pytest.mark.parametrize("service", [120], indirect=True)
def test_an_error_after_a_line_is_the_last_line(service: Service, long_song: bytes) -> None:
    first, *_, problem = read(asyncio.run(post(service, long_song)))
    assert first["number"] == 0
    assert problem["status"] == 422
    assert "the audio is longer than the limit of 120 s" in problem["detail"]
    assert service.bodies.memory_bytes == service.bodies.disk_bytes == 0


def test_the_champion_continues_if_the_challenger_fails(
    service: Service, song: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion, asked = service.models.champion, []
    challenger = replace(champion)
    probabilities = service.probabilities

    async def fail_on_the_second(model: LiveModel, window: Song) -> NDArray[np.float32]:
        if model is challenger:
            asked.append(window)
            if len(asked) == 2:
                raise BatchError("it fails")
        return await probabilities(model, window)

    monkeypatch.setattr(service, "probabilities", fail_on_the_second)
    monkeypatch.setattr(service.models, "choose", lambda version: (champion, challenger))
    *windows, answer = read(asyncio.run(post(service, song)))
    assert windows == answer["windows"]
    assert [window["number"] for window in windows] == [0, 1]
    assert len(asked) == 2


def test_models_with_features_give_lines(
    service: Service, song: bytes, picture: bytes, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = LiveModel(Fetched(small_head(features, GENRES), "head"), None)
    monkeypatch.setattr(service.models, "choose", lambda version: (champion, None))
    *windows, answer = read(asyncio.run(post(service, song, "?pictures=true")))
    assert windows == answer["windows"]
    assert [window["end"] for window in windows] == [29.92, 59.84]
    refusal = asyncio.run(post(service, picture))
    assert (refusal.status_code, "use the recording" in refusal.text) == (422, True)


@pytest.mark.parametrize("fails_at", [None, 0, 1])
def test_a_challenger_may_have_another_input(
    service: Service,
    song: bytes,
    picture: bytes,
    features: Features,
    fails_at: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    challenger = replace(service.models.champion, fetched=replace(service.models.champion.fetched, name="other"))
    champion = LiveModel(Fetched(small_head(features, GENRES), "head"), None)
    probabilities, asked = service.probabilities, 0

    async def fail(model: LiveModel, window: Song) -> NDArray[np.float32]:
        nonlocal asked
        if model is challenger:
            asked += 1
            if asked - 1 == fails_at:
                raise BatchError("it fails")
        return await probabilities(model, window)

    monkeypatch.setattr(service, "probabilities", fail)
    monkeypatch.setattr(service.models, "choose", lambda version: (champion, challenger))
    *windows, answer = read(asyncio.run(post(service, song)))
    assert [window["number"] for window in windows] == [0, 1]
    ends = {None: [30.01, 60.02], 0: [29.92, 59.84], 1: [30.01, 59.84]}[fails_at]
    assert [window["end"] for window in windows] == pytest.approx(ends, abs=0.03)
    assert answer["model"]["name"] == ("other" if fails_at is None else "head")
    if fails_at is None:
        assert windows == answer["windows"]
        monkeypatch.setattr(service.models, "choose", lambda version: (challenger, champion))
        [of_picture] = read(asyncio.run(post(service, picture)))
        assert of_picture["model"]["name"] == "other"  # the only model that can use a picture


def test_windows_come_while_the_song_is_decoded(service: Service, long_song: bytes) -> None:
    decoded, heard = [0.0], []

    def on_audio(seconds: float) -> None:
        decoded[0] += seconds

    def on_part(window: Song) -> None:
        heard.append((window, decoded[0]))

    song = asyncio.run(service.decoders.song(long_song, on_audio, on_part=on_part))
    assert len(heard) == len(song.times) == 14
    for window, seconds in heard[:-2]:
        assert seconds < window.times[0][1] + 60  # s; the last window may overlap the one before it


@pytest.mark.parametrize("is_slow", [False, True], ids=["disconnects", "reads nothing"])
def test_a_client_that_goes_after_a_line_ends_the_work(
    service: Service, long_song: bytes, is_slow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_slow:
        monkeypatch.setattr(Deadline, "end_of_reading", property(lambda deadline: deadline._started + 1))
    app, sent = build(service), asyncio.Event()

    async def run() -> None:
        parts = [{"type": "http.request", "body": long_song}, None]

        async def receive() -> Any:
            if parts and (message := parts.pop(0)):
                return message
            await sent.wait()
            await asyncio.sleep(60 if is_slow else 0)
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message.get("body"):
                sent.set()
                await asyncio.sleep(60)

        await asyncio.wait_for(app(scope(), receive, send), 30)
        assert not asyncio.all_tasks() - {asyncio.current_task()}

    asyncio.run(run())
    assert service.bodies.memory_bytes == service.bodies.disk_bytes == 0
    assert service.predictions._in_progress == 0


def scope() -> dict[str, Any]:
    """Return the ASGI scope of a request for lines."""
    headers = [(b"accept", MEDIA_TYPE.encode()), (b"content-type", b"audio/mpeg")]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/predict",
        "raw_path": b"/v1/predict",
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50_000),
    }


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("application/x-ndjson", True),
        ("Application/X-NDJSON; charset=utf-8", True),
        ("application/x-ndjson, application/json;q=0.5", True),
        ("application/json, application/x-ndjson;q=0.5", False),
        ("application/x-ndjson;q=0", False),
        ("application/x-ndjson;q=high", False),
    ],
)
def test_lines_must_be_asked_for(accept: str, expected: bool) -> None:
    request = Request({"type": "http", "headers": [(b"accept", accept.encode())]})
    assert accepts_lines(request) is expected
