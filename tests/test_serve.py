"""The endpoint over real HTTP: a Ray Serve application on the tests' cluster."""

from collections.abc import Iterator

import httpx
import numpy as np
import pytest
import torch
from click import ClickException
from ray import serve

from raygenre import registry
from raygenre.classifier import read
from raygenre.spectrogram import levels, write_png
from raygenre.synthesis import synthesise
from serve.app import MOST_BYTES, Settings, app
from tests.conftest import FinishedSearch
from tests.sounds import encode
from tests.test_classifier import BAD

PORT = 8765


@pytest.fixture(scope="module")
def endpoint(finished: FinishedSearch) -> Iterator[httpx.Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAYGENRE_STORAGE", str(finished.storage.root))
        serve.start(http_options={"host": "127.0.0.1", "port": PORT})
        serve.run(app(Settings()))
        with httpx.Client(base_url=f"http://127.0.0.1:{PORT}", timeout=60) as client:
            yield client
        serve.shutdown()


@pytest.mark.parametrize("content_type", ["image/png", "application/x-www-form-urlencoded", "text/plain", ""])
def test_a_picture_gets_the_librarys_own_answer_whatever_type_it_states(
    endpoint: httpx.Client, finished: FinishedSearch, content_type: str
) -> None:
    picture = write_png(finished.dataset.levels[0])
    headers = {"content-type": content_type} if content_type else {}
    response = endpoint.post("/v1/predict", content=picture, headers=headers)
    assert response.status_code == 200, response.text
    expected = registry.fetch(finished.storage).classifier.predict(read(picture))
    answer = response.json()
    assert answer["genre"] == expected.genre
    assert answer["confidence"] == pytest.approx(expected.confidence, abs=1e-5)
    assert answer["probabilities"] == pytest.approx(expected.probabilities, abs=1e-5)
    assert answer["uncertain"] is expected.uncertain
    assert answer["model"] == f"raygenre/{finished.outcome.version}"


def test_a_long_song_gets_the_librarys_own_answer(endpoint: httpx.Client, finished: FinishedSearch) -> None:
    samples = np.concatenate([synthesise("bells", seed=60), synthesise("storm", seed=60)])
    song = encode(samples, "mp3", "libmp3lame")
    response = endpoint.post("/v1/predict", content=song)
    expected = registry.fetch(finished.storage).classifier.predict(read(song))
    assert response.json()["probabilities"] == pytest.approx(expected.probabilities, abs=1e-5)


def test_levels_in_the_endpoint_are_those_drawn_here(endpoint: httpx.Client) -> None:
    samples = synthesise("storm", seed=61)
    picture = write_png(levels(torch.from_numpy(samples)).numpy())
    sent = [picture, encode(samples, "wav", "pcm_f32le"), encode(samples * 10 ** (-12 / 20), "wav", "pcm_f32le")]
    drawn_here, drawn_there, quieter = (endpoint.post("/v1/predict", content=body).json() for body in sent)
    assert drawn_there["probabilities"] == pytest.approx(drawn_here["probabilities"], abs=1e-6)
    assert quieter["probabilities"] == pytest.approx(drawn_here["probabilities"], abs=1e-3)


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_the_librarys_own_words(endpoint: httpx.Client, name: str) -> None:
    body, _ = BAD[name]
    with pytest.raises(ValueError) as refused:  # noqa: PT011, for the message is what is compared
        read(body)
    response = endpoint.post("/v1/predict", content=body)
    assert (response.status_code, response.json()["detail"]) == (422, str(refused.value))


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b"", 422, "empty"),
        (b"not music at all", 422, "FFmpeg"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), 422, "PNG"),
        (bytes(MOST_BYTES + 1), 413, "25 MB"),
    ],
)
def test_bad_input_is_a_problem_that_says_what_was_wrong(
    endpoint: httpx.Client, body: bytes, status: int, detail: str
) -> None:
    response = endpoint.post("/v1/predict", content=body)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert detail in problem["detail"]


def test_a_form_is_refused(endpoint: httpx.Client) -> None:
    response = endpoint.post("/v1/predict", files={"file": b"x"})
    assert response.status_code == 415
    assert "--data-binary" in response.json()["detail"]


def test_health_readiness_and_documentation(endpoint: httpx.Client, finished: FinishedSearch) -> None:
    for path in ("/healthz", "/readyz"):
        response = endpoint.get(path)
        assert response.status_code == 200
        assert response.json()["model"] == f"raygenre/{finished.outcome.version}"
    assert endpoint.get("/docs").status_code == 200
    paths = endpoint.get("/openapi.json").json()["paths"]
    assert set(paths) == {"/v1/predict", "/healthz", "/readyz"}
    missing = endpoint.get("/nothing")
    assert missing.status_code == 404
    assert missing.json()["status"] == 404


def test_without_a_champion_it_says_what_to_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("RAYGENRE_STORAGE", str(tmp_path_factory.mktemp("empty")))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ClickException, match=r"make tune"):
        app(Settings())


def test_the_environment_names_another_model(
    endpoint: httpx.Client, finished: FinishedSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYGENRE_STORAGE", str(finished.storage.root))
    monkeypatch.setenv("RAYGENRE_MODEL_URI", "models:/raygenre/77")
    with pytest.raises(ClickException, match="models:/raygenre/77"):
        app(Settings())
