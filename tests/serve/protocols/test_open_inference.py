"""The Open Inference Protocol v2, tested with two clients.

One is Triton's client; the other is in helpers/open_inference.py.
"""

from base64 import b64encode
from importlib.metadata import version
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from raygenre.spectrogram.image import read_png
from tests.helpers.open_inference import HEADER_LENGTH, binary_request, outputs, pack
from tests.helpers.serving import GENRES

MODEL = "/v2/models/raygenre"
OUTPUTS = ("genre", "confidence", "uncertain", "probabilities", "genres")


@pytest.fixture(scope="module")
def answers(endpoint: httpx.Client, picture: bytes, song: bytes) -> list[dict[str, Any]]:
    """The answers that `/v1/predict` returns for the song and the picture."""
    return [endpoint.post("/v1/predict", content=file).json() for file in (song, picture)]


def check(values: dict[str, Any], answers: list[dict[str, Any]]) -> None:
    assert tuple(values) == OUTPUTS
    assert values["genre"] == [answer["genre"] for answer in answers]
    assert values["genres"] == list(GENRES)
    assert values["uncertain"].tolist() == [answer["uncertain"] for answer in answers]
    assert values["confidence"] == pytest.approx([answer["confidence"] for answer in answers], abs=1e-5)
    for row, answer in zip(values["probabilities"], answers, strict=True):
        assert row == pytest.approx(list(answer["probabilities"].values()), abs=1e-5)


def test_binary_files_get_the_same_answers(
    endpoint: httpx.Client, picture: bytes, song: bytes, answers: list[dict[str, Any]]
) -> None:
    data = pack([song, picture])
    body, headers = binary_request("file", "BYTES", [2], data, id="42", parameters={"binary_data_output": True})
    response = endpoint.post(f"{MODEL}/infer", content=body, headers=headers)
    check(outputs(response), answers)
    assert response.headers["content-type"] == "application/octet-stream"
    assert b'"model_name":"raygenre","model_version":"1","id":"42","parameters":{"trained_on":"synthetic"}' in (
        response.content
    )


def test_triton_client_gets_the_same_answers(
    endpoint: httpx.Client, picture: bytes, song: bytes, answers: list[dict[str, Any]]
) -> None:
    with triton.InferenceServerClient(endpoint.base_url.netloc.decode()) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("raygenre")
        assert client.get_model_metadata("raygenre")["inputs"][0]["name"] == "file"
        for binary in (True, False):
            files = triton.InferInput("file", [2], "BYTES")
            files.set_data_from_numpy(np.array([song, picture], dtype=np.object_), binary_data=True)
            wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in OUTPUTS]
            result = client.infer("raygenre", [files], outputs=wanted)
            values = {name: result.as_numpy(name) for name in OUTPUTS}
            for name in ("genre", "genres"):
                values[name] = [text if isinstance(text, str) else text.decode() for text in values[name]]
            check(values, answers)
        with pytest.raises(InferenceServerException, match="'9' is not being served"):
            client.infer("raygenre", [files], model_version="9")


def test_files_in_base64_get_the_same_answers(
    endpoint: httpx.Client, picture: bytes, song: bytes, answers: list[dict[str, Any]]
) -> None:
    texts = [b64encode(file).decode() for file in (song, picture)]
    for shape, data in (([2], texts), ([2, 1], [[text] for text in texts])):
        tensor = {"name": "file", "datatype": "BYTES", "shape": shape, "data": data}
        response = endpoint.post(f"{MODEL}/versions/1/infer", json={"inputs": [tensor]})
        check(outputs(response), answers)
        assert response.headers["content-type"] == "application/json"
        assert HEADER_LENGTH not in response.headers
        assert response.json().keys() == {"model_name", "model_version", "parameters", "outputs"}


def test_levels_get_the_answer_of_their_picture(
    endpoint: httpx.Client, picture: bytes, answers: list[dict[str, Any]]
) -> None:
    levels = read_png(picture)
    shape = [1, 128, 333]
    body, headers = binary_request("levels", "UINT8", shape, levels.tobytes())
    check(outputs(endpoint.post(f"{MODEL}/infer", content=body, headers=headers)), answers[1:])
    for data in (levels[None].tolist(), levels.ravel().tolist()):
        tensor = {"name": "levels", "datatype": "UINT8", "shape": shape, "data": data}
        check(outputs(endpoint.post(f"{MODEL}/infer", json={"inputs": [tensor]})), answers[1:])


def test_only_the_wanted_outputs_are_returned(endpoint: httpx.Client, picture: bytes) -> None:
    wanted = [{"name": "confidence", "parameters": {"binary_data": True}}, {"name": "genre"}]
    body, headers = binary_request("file", "BYTES", [1], pack([picture]), outputs=wanted)
    response = endpoint.post(f"{MODEL}/infer", content=body, headers=headers)
    assert list(outputs(response)) == ["confidence", "genre"]
    assert int(response.headers[HEADER_LENGTH]) == len(response.content) - 4


def test_server_and_model_are_described(endpoint: httpx.Client, picture: bytes) -> None:
    server = {"name": "raygenre", "version": version("raygenre"), "extensions": ["binary_tensor_data"]}
    assert endpoint.get("/v2").json() == endpoint.get("/v2/").json() == server
    assert endpoint.get("/v2/health/live").json() == {"live": True}
    assert endpoint.get("/v2/health/ready").json() == {"ready": True}
    for path in (MODEL, f"{MODEL}/versions/1"):
        assert endpoint.get(f"{path}/ready").json() == {"name": "raygenre", "ready": True}
        described = endpoint.get(path).json()
        assert described["versions"] == ["1"]
        body, headers = binary_request("file", "BYTES", [1], pack([picture]))
        values = outputs(endpoint.post(f"{path}/infer", content=body, headers=headers))
        for tensor in described["outputs"]:
            shape = [1 if size == -1 else size for size in tensor["shape"]]
            assert shape == list(np.shape(values[tensor["name"]])), tensor


@pytest.mark.parametrize("path", ["/v2/models/raygenre/versions/2", "/v2/models/other"])
def test_another_version_or_model_is_not_found(endpoint: httpx.Client, path: str) -> None:
    responses = [endpoint.get(path), endpoint.get(f"{path}/ready"), endpoint.post(f"{path}/infer", content=b"")]
    assert [response.status_code for response in responses] == [404] * 3
    assert "served: 1" in responses[0].json()["error"] or "model is 'raygenre'" in responses[0].json()["error"]


def test_one_unusable_file_fails_the_request(endpoint: httpx.Client, picture: bytes) -> None:
    body, headers = binary_request("file", "BYTES", [2], pack([picture, b"not music"]))
    response = endpoint.post(f"{MODEL}/infer", content=body, headers=headers)
    problem = response.json()
    assert (response.status_code, problem["error"]) == (415, problem["detail"])
    assert problem["detail"].startswith("1 of 2 files cannot be classified; file 2: the file is neither a PNG")
    assert [(error["index"], error["status"]) for error in problem["errors"]] == [(1, 415)]


def test_limits_hold_for_this_protocol(endpoint: httpx.Client, picture: bytes) -> None:
    body, headers = binary_request("file", "BYTES", [4], pack([picture] * 4))
    form: dict[str, Any] = {"files": {"file": picture}}
    for request, status, text in (
        ({"content": body, "headers": headers}, 413, "more than the limit of 3"),
        ({"content": bytes(34_000_001)}, 413, " MB"),
        ({"content": b"[" * 1_000_000}, 413, "more values"),
        ({"content": b"{"}, 400, "the JSON is malformed"),
        (form, 415, "does not accept forms"),
    ):
        response = endpoint.post(f"{MODEL}/infer", **request)
        assert (response.status_code, text in response.json()["error"]) == (status, True), response.text
