"""The endpoint's answers over real HTTP, with a real Ray Serve."""

import gzip
import io
import json

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from raygenre import audio, spectrogram
from raygenre.audio.synthesis import synthesise
from raygenre.inputs.levels import LEVELS
from raygenre.model.classifier import Classifier
from raygenre.registry import versions
from raygenre.system.storage import Storage
from raygenre.tracking.server import Server
from serve import schema, tag_schema
from serve.jobs import schema as job_schema
from serve.protocols import mlflow_scoring, open_inference_schema
from serve.web.openapi import FILE, document
from serve.web.pages import ASSETS
from tests.helpers.bad_files import BAD
from tests.helpers.serving import GENRES
from tests.helpers.sounds import encode

SCHEMAS = (schema, tag_schema, job_schema, open_inference_schema, mlflow_scoring)


@pytest.fixture(scope="module")
def classifier(storage: Storage) -> Classifier:
    return versions.fetch(Server(storage)).classifier


@pytest.mark.parametrize("content_type", ["image/png", "application/x-www-form-urlencoded", "text/plain", ""])
def test_a_png_gets_the_librarys_answer_for_any_content_type(
    endpoint: httpx.Client, classifier: Classifier, picture: bytes, content_type: str
) -> None:
    headers = {"content-type": content_type} if content_type else {}
    response = endpoint.post("/v1/predict", content=picture, headers=headers)
    assert response.status_code == 200, response.text
    expected, answer = classifier.predict(LEVELS.read(picture)), response.json()
    assert answer["genre"] == expected.genre
    assert answer["confidence"] == pytest.approx(expected.confidence, abs=1e-5)
    assert answer["probabilities"] == pytest.approx(expected.probabilities, abs=1e-5)
    assert answer["uncertain"] is expected.uncertain
    assert answer["windows"] == []


def test_a_long_song_gets_the_librarys_answer_for_each_window(
    endpoint: httpx.Client, classifier: Classifier, song: bytes
) -> None:
    answer = endpoint.post("/v1/predict", content=song).json()
    heard = LEVELS.read(song)
    expected = classifier.predict(heard)
    assert answer["probabilities"] == pytest.approx(expected.probabilities, abs=1e-5)
    assert [(window["start"], window["end"]) for window in answer["windows"]] == list(heard.times)
    assert [window["number"] for window in answer["windows"]] == list(heard.numbers) == [0, 1]
    for window, probabilities in zip(answer["windows"], expected.windows, strict=True):
        assert window["probabilities"] == pytest.approx(probabilities, abs=1e-5)
        assert window["confidence"] == max(window["probabilities"].values())
        assert window["probabilities"][window["genre"]] == window["confidence"]


def test_silent_windows_are_omitted_but_still_numbered(endpoint: httpx.Client) -> None:
    sound = synthesise("storm", seed=62)
    file = encode(np.concatenate([np.zeros_like(sound), sound]), "flac", "flac")
    [window] = endpoint.post("/v1/predict", content=file).json()["windows"]
    assert (window["number"], round(window["start"]), round(window["end"])) == (1, 30, 60)
    spectrogram_response = endpoint.post(f"/v1/spectrogram?window={window['number']}", content=file)
    assert spectrogram_response.headers["x-windows"] == "2"
    assert np.array_equal(spectrogram.read_png(spectrogram_response.content), LEVELS.read(file).windows[0])


def test_the_endpoint_computes_the_same_levels(endpoint: httpx.Client) -> None:
    samples = synthesise("storm", seed=61)
    picture = spectrogram.write_png(spectrogram.levels(torch.from_numpy(samples)).numpy())
    sent = [picture, encode(samples, "wav", "pcm_f32le"), encode(samples * 10 ** (-12 / 20), "wav", "pcm_f32le")]
    from_png, from_wav, quieter = (endpoint.post("/v1/predict", content=body).json() for body in sent)
    assert from_wav["probabilities"] == pytest.approx(from_png["probabilities"], abs=1e-6)
    assert quieter["probabilities"] == pytest.approx(from_png["probabilities"], abs=1e-3)


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_with_the_librarys_message(endpoint: httpx.Client, name: str) -> None:
    body, _ = BAD[name]
    with pytest.raises(ValueError) as library_error:  # noqa: PT011 (the message is compared below)
        LEVELS.read(body)
    response = endpoint.post("/v1/predict", content=body)
    assert response.status_code in (415, 422)
    assert response.json()["detail"] == str(library_error.value)


def test_an_answer_names_its_model_version_and_run(endpoint: httpx.Client, storage: Storage, picture: bytes) -> None:
    model = endpoint.post("/v1/predict", content=picture).json()["model"]
    assert model == {"name": "raygenre", "version": "1", "run_id": versions.fetch(Server(storage)).run_id}


def test_files_of_a_form_are_answered_in_order(endpoint: httpx.Client, picture: bytes, song: bytes) -> None:
    alone = [endpoint.post("/v1/predict", content=file).json() for file in (song, picture)]
    form: list[tuple[str, tuple[str, bytes, str]]] = [
        ("file", ("a.mp3", song, "audio/mpeg")),
        ("file", ("b", picture, "application/octet-stream")),
        ("file", ("c.png", song, "image/png")),
    ]
    response = endpoint.post("/v1/predict", files=form).json()
    predictions = response["predictions"]
    assert response["errors"] == []
    assert [len(answer["windows"]) for answer in predictions] == [2, 0, 2]
    for answer, expected in zip(predictions, [*alone, alone[0]], strict=True):
        assert answer["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-5)


def test_an_unusable_file_of_a_form_gets_an_error_of_its_own(endpoint: httpx.Client, picture: bytes) -> None:
    named = {"a.png": picture, "note.mp3": b"not music", "b.png": picture}
    response = endpoint.post("/v1/predict", files=[("file", (name, data)) for name, data in named.items()])
    assert response.status_code == 200
    first, missing, last = response.json()["predictions"]
    assert first["genre"] == last["genre"] == "bells"
    assert missing is None
    [error] = response.json()["errors"]
    alone = endpoint.post("/v1/predict", content=b"not music").json()
    assert error == {"index": 1, "file": "note.mp3", "status": 415, "detail": alone["detail"]}


def test_a_form_without_any_usable_file_is_an_error(endpoint: httpx.Client) -> None:
    files = [("file", ("empty.wav", b"")), ("file", ("note.mp3", b"not music"))]
    response = endpoint.post("/v1/predict", files=files)
    problem = response.json()
    assert (response.status_code, problem["status"]) == (422, 422)
    assert (
        problem["detail"]
        == "no file of the form can be classified; file 1 (empty.wav): the file is empty; copy it again from its source"
    )
    errors = [(error["index"], error["file"], error["status"]) for error in problem["errors"]]
    assert errors == [(0, "empty.wav", 422), (1, "note.mp3", 415)]


def test_an_answer_names_the_models_training_data(endpoint: httpx.Client, picture: bytes) -> None:
    synthetic = {"kind": "synthetic", "name": "synthetic"}
    assert endpoint.post("/v1/predict", content=picture).json()["trained_on"] == synthetic
    assert endpoint.get("/v1/model").json()["trained_on"] == synthetic


def test_a_form_of_one_file_gets_a_list_of_one(endpoint: httpx.Client, picture: bytes) -> None:
    assert len(endpoint.post("/v1/predict", files={"file": picture}).json()["predictions"]) == 1


@pytest.mark.parametrize("window", [0, 1])
def test_a_spectrogram_is_the_png_of_its_window(endpoint: httpx.Client, song: bytes, window: int) -> None:
    response = endpoint.post(f"/v1/spectrogram?window={window}", content=song)
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/png"
    assert response.headers["x-windows"] == "2"
    samples = torch.from_numpy(audio.windows(audio.decode(song))[window].samples)
    expected = spectrogram.to_image(spectrogram.levels(samples, under_frame=True).numpy())
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(response.content))), np.asarray(expected))


def test_the_spectrogram_of_a_png_is_the_png(endpoint: httpx.Client, picture: bytes) -> None:
    response = endpoint.post("/v1/spectrogram", content=picture)
    assert np.array_equal(spectrogram.read_png(response.content), spectrogram.read_png(picture))
    assert endpoint.post("/v1/spectrogram?window=1", content=picture).status_code == 422


def test_the_model_is_described(endpoint: httpx.Client, classifier: Classifier) -> None:
    facts = endpoint.get("/v1/model").json()
    assert facts["genres"] == list(GENRES)
    assert facts["test_accuracy"] == 0.75
    assert facts["synthetic"] is True
    assert facts["sha256"] == classifier.sha256
    assert "75.0% of the test tracks" in facts["card"]
    assert facts["challenger"] is None


def test_health_and_readiness(endpoint: httpx.Client) -> None:
    assert endpoint.get("/healthz").json() == {"status": "alive"}
    ready = endpoint.get("/readyz").json()
    assert (ready["status"], ready["model"]["version"], ready["trouble"]) == ("ready", "1", {})


def test_the_committed_openapi_document_is_current(endpoint: httpx.Client) -> None:
    assert FILE.read_text() == document(), "run `make openapi` to update it"
    served = endpoint.get("/openapi.json").json()
    model = "/v2/models/raygenre"
    assert served["paths"].keys() == {
        *("/v1/predict", "/v1/spectrogram", "/v1/model", "/healthz", "/readyz"),
        *("/v1/jobs", "/v1/jobs/{job_id}"),
        *("/v2", "/v2/health/live", "/v2/health/ready"),
        *(path + end for path in (model, f"{model}/versions/{{version}}") for end in ("", "/ready", "/infer")),
        *("/invocations", "/ping", "/health", "/version"),
    }
    assert {401, 408, 413, 415, 422, 429, 503} <= {
        int(code) for code in served["paths"]["/v1/predict"]["post"]["responses"]
    }


def test_the_openapi_document_has_valid_examples() -> None:
    committed = json.loads(FILE.read_text())
    for name, described in committed["components"]["schemas"].items():
        [model] = {getattr(module, name) for module in SCHEMAS if hasattr(module, name)}
        model.model_validate(described["example"])
    for path, operations in committed["paths"].items():
        for operation in operations.values():
            assert ("x-codeSamples" in operation) is ("requestBody" in operation), path
            for status, response in operation["responses"].items():
                assert "X-Request-ID" in response["headers"], (path, status)
                assert ("Retry-After" in response["headers"]) is (status in ("202", "429", "503")), (path, status)
                for media, content in response.get("content", {}).items():
                    if media == "application/problem+json":
                        assert content["example"]["status"] == int(status)
    predicted = committed["paths"]["/v1/predict"]["post"]["responses"]["200"]["content"]["application/json"]["examples"]
    schema.Answer.model_validate(predicted["file"]["value"])
    schema.Answers.model_validate(predicted["form"]["value"])
    tag_schema.TagAnswer.model_validate(predicted["tags"]["value"])


@pytest.mark.parametrize("path", ["/v1/predict/", "/v1/model/", "/healthz/", "/docs/"])
def test_the_endpoint_never_redirects(endpoint: httpx.Client, path: str) -> None:
    response = endpoint.post(path, content=b"", headers={"host": "elsewhere.example"})
    assert response.status_code == 404
    assert "location" not in response.headers


@pytest.mark.parametrize("path", ["/", "/docs", *(f"/page/{name}" for name in ASSETS)])
def test_pages_have_security_headers(endpoint: httpx.Client, path: str) -> None:
    response = endpoint.get(path)
    assert response.status_code == 200
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("path", ["/nothing", "/page/nothing", "/page/..%2fapp.py", "/page/index.html", "/v1"])
def test_an_unknown_path_is_a_problem(endpoint: httpx.Client, path: str) -> None:
    response = endpoint.get(path)
    assert response.status_code == 404
    assert response.json()["status"] == 404


def test_an_unsupported_method_is_a_problem(endpoint: httpx.Client) -> None:
    response = endpoint.get("/v1/predict")
    assert response.status_code == 405
    assert response.json()["title"] == "Method Not Allowed"
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize("path", ["/", "/docs", "/page/page.js", "/healthz", "/readyz", "/v1/model", "/openapi.json"])
def test_head_answers_as_get_without_content(endpoint: httpx.Client, path: str) -> None:
    head, get = endpoint.head(path), endpoint.get(path)
    assert head.status_code == get.status_code == 200
    assert head.content == b""
    for name in ("content-length", "content-type", "content-security-policy"):
        assert head.headers[name] == get.headers[name]
    assert endpoint.head("/v1/predict").status_code == 405


def test_a_file_on_disk_and_a_gzip_body_get_the_same_answer(
    endpoint: httpx.Client, classifier: Classifier, song: bytes
) -> None:
    large = encode(audio.decode(song), "wav", "pcm_f32le")
    assert 4_000_000 < len(large) < 6_000_000
    packed = gzip.compress(large)
    answers = [
        endpoint.post("/v1/predict", content=large).json(),
        endpoint.post("/v1/predict", content=packed, headers={"content-encoding": "gzip"}).json(),
        endpoint.post("/v1/predict", files={"file": large}).json()["predictions"][0],
    ]
    expected = classifier.predict(LEVELS.read(large)).probabilities
    for answer in answers:
        assert answer["probabilities"] == pytest.approx(dict(expected), abs=1e-5)
        assert [window["number"] for window in answer["windows"]] == [0, 1]


def test_a_request_keeps_the_clients_id(endpoint: httpx.Client, picture: bytes) -> None:
    response = endpoint.post("/v1/predict", content=picture, headers={"x-request-id": "mine-1"})
    assert response.json()["request_id"] == response.headers["x-request-id"] == "mine-1"


@pytest.mark.parametrize("sent", [None, b"", b"x" * 101, b"a b", b"{}", b"\xe9"])
def test_a_request_without_a_safe_id_gets_a_new_one(endpoint: httpx.Client, sent: bytes | None) -> None:
    headers = {} if sent is None else {b"x-request-id": sent}
    first, second = (endpoint.post("/v1/predict", content=b"", headers=headers) for _ in range(2))
    for response in (first, second):
        assert response.status_code == 422
        assert response.headers["x-request-id"] == response.json()["request_id"]
        assert len(response.json()["request_id"]) == 36
    assert first.json()["request_id"] != second.json()["request_id"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"x-request-timeout-seconds", b"0.001"),
        (b"x-request-timeout-seconds", b"\xe9"),
        (b"x-request-disconnect-disabled", b"\xe9"),
        (b"serve_multiplexed_model_id", b"\xe9"),
        (b"x-session-id", b"\xe9"),
    ],
)
def test_headers_for_ray_serve_are_ignored(endpoint: httpx.Client, song: bytes, name: bytes, value: bytes) -> None:
    assert endpoint.post("/v1/predict", content=song, headers={name: value}).status_code == 200


def test_other_origins_may_not_call_the_api(endpoint: httpx.Client) -> None:
    response = endpoint.get("/v1/model", headers={"origin": "https://example.com"})
    assert "access-control-allow-origin" not in response.headers
