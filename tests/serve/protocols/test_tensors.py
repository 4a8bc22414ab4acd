"""Malformed tensors of the Open Inference Protocol are refused, and well-formed ones are read and written."""

import json
import tracemalloc
from base64 import b64encode
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from raygenre.inputs.kind import Song
from serve.admission.limits import Limits, LimitSettings
from serve.admission.upload import UploadedFile
from serve.errors import RefusalError
from serve.protocols.body import MAX_DETAIL, parse_json
from serve.protocols.open_inference_schema import InferRequest
from serve.protocols.tensors import read_inputs, wanted_outputs, write_outputs
from serve.schema import Answer
from tests.helpers.open_inference import pack

LIMITS = Limits.of(LimitSettings(most_files=2))
LEVELS = 128 * 333
ANSWER = Answer.model_validate(Answer.model_config["json_schema_extra"]["example"])  # type: ignore[index]


def request(**fields: Any) -> InferRequest:
    tensor = {"name": "file", "datatype": "BYTES", "shape": [1]} | fields
    return InferRequest.model_validate_json(json.dumps({"inputs": [tensor]}))


def size(data: bytes) -> dict[str, int]:
    return {"binary_data_size": len(data)}


def levels(**fields: Any) -> InferRequest:
    return request(**{"name": "levels", "datatype": "UINT8", "shape": [1, 128, 333]} | fields)


def test_elements_may_be_empty_or_look_like_lengths() -> None:
    files = [b"", b"\x01\x00\x00\x00a"]
    data = pack(files)
    expected = [UploadedFile("", file) for file in files]
    assert read_inputs(request(shape=[2], parameters=size(data)), data, LIMITS) == expected
    wrapped = b64encode(bytes(100)).decode()[:76] + "\n" + b64encode(bytes(100)).decode()[76:]  # as MLflow writes it
    assert read_inputs(request(data=[wrapped]), b"", LIMITS) == [UploadedFile("", bytes(100))]


def test_levels_are_read_row_by_row() -> None:
    data = np.arange(2 * LEVELS).astype(np.uint8)
    [first, second] = read_inputs(levels(shape=[2, 128, 333], data=data.tolist()), b"", LIMITS)
    assert isinstance(first, Song)
    assert isinstance(second, Song)
    assert np.array_equal(np.concatenate([first.windows, second.windows]).ravel(), data)
    assert second.windows.flags.writeable  # torch warns about read-only arrays


@pytest.mark.parametrize(
    ("given", "binary", "status", "detail"),
    [
        (request(), b"", 400, "exactly one of `data` and"),
        (request(data=["AAAA"], parameters={"binary_data_size": 0}), b"", 400, "exactly one of `data` and"),
        (request(data=["AAAA"]), b"x", 400, "is 0, but 1 bytes follow"),
        (request(parameters={"binary_data_size": True}), b"x", 400, "is True, but 1 bytes"),
        (request(parameters={"binary_data_size": "1"}), b"x", 400, "is 1, but 1 bytes"),
        (request(parameters={"binary_data_size": 6}), b"\x03\0\0\0ab", 400, "ends before"),
        (request(parameters={"binary_data_size": 3}), b"\x03\0\0", 400, "ends before"),
        (request(data=["*"]), b"", 400, "file 1 is not base64"),
        (request(data=["é"]), b"", 400, "file 1 is not base64"),
        (request(data=[1]), b"", 400, "is not text"),
        (request(data=[["AAAA", "AAAA"]]), b"", 400, "specifies 1 files, but the data contains more"),
        (request(data=["AAAA"], shape=[1, 2]), b"", 400, "is BYTES [1, 2]"),
        (request(data=["AAAA"], datatype="FP32"), b"", 400, "is FP32 [1]"),
        (request(data=["AAAA"], name="x" * 9999), b"", 400, "the input 'xxx"),
        (request(data=["AAAA"], shape=[-1]), b"", 400, "specifies -1 files"),
        (request(data=[], shape=[0]), b"", 400, "has no files"),
        (request(data=["AAAA"] * 3, shape=[3]), b"", 413, "3 files, more than the limit of 2"),
        (request(parameters={"shared_memory_region": "a"}), b"", 400, "shared_memory_region is not supported"),
        (levels(data=[0]), b"", 400, "the data contains 1"),
        (levels(data=[256] * LEVELS), b"", 400, "not integers from 0 to 255"),
        (levels(data=[-1] * LEVELS), b"", 400, "not integers from 0 to 255"),
        (levels(data=[10**30] * LEVELS), b"", 400, "not integers from 0 to 255"),
        (levels(data=[True] * LEVELS), b"", 400, "not integers from 0 to 255"),
        (levels(data=[[1], 2]), b"", 400, "not integers from 0 to 255"),
        (levels(data=[[0] * 332, [0] * 334] * 64), b"", 400, "not integers from 0 to 255"),
        (levels(data=[]), b"", 400, "not integers from 0 to 255"),
        (levels(data=[0] * LEVELS), b"", 422, "silent"),
        (levels(data=[1], shape=[1, 333, 128]), b"", 400, "UINT8 [1, 333, 128]"),
    ],
)
def test_a_malformed_tensor_is_refused(given: InferRequest, binary: bytes, status: int, detail: str) -> None:
    with pytest.raises(RefusalError) as raised:
        read_inputs(given, binary, LIMITS)
    assert (raised.value.status, detail in raised.value.detail) == (status, True), raised.value.detail
    assert len(raised.value.detail) <= MAX_DETAIL + 3


@pytest.mark.parametrize(
    ("given", "binary", "detail"),
    [
        (levels(data=["x" * 1000, *[1] * (LEVELS - 1)]), b"", "not integers from 0 to 255"),
        (request(parameters=size(bytes(400_000))), bytes(400_000), "specifies 1 files, but the data contains more"),
    ],
)
def test_a_malformed_tensor_takes_little_memory(given: InferRequest, binary: bytes, detail: str) -> None:
    tracemalloc.start()
    with pytest.raises(RefusalError, match=detail):
        read_inputs(given, binary, LIMITS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"inputs": [{"name": "file", "datatype": "BYTES", "shape": [""] * 9}]}, r"inputs\.0\.shape\.0"),
        ({"inputs": [1] * 9}, r"inputs\.0"),
        ({"inputs": [], "outputs": [1] * 9}, r"outputs\.0"),
    ],
)
def test_only_the_first_error_in_a_list_is_collected(body: dict[str, Any], place: str) -> None:
    with pytest.raises(RefusalError, match=rf"malformed: {place}: ") as raised:
        parse_json(InferRequest, json.dumps(body).encode(), LIMITS, max_values=100)
    assert isinstance(raised.value.__cause__, ValidationError)
    assert raised.value.__cause__.error_count() == 1


def test_a_request_has_one_input() -> None:
    for number in (0, 2):
        given = InferRequest(inputs=request(data=["AAAA"]).inputs * number)
        with pytest.raises(RefusalError, match=f"has one input, `file` or `levels`, not {number}"):
            read_inputs(given, b"", LIMITS)


@pytest.mark.parametrize(
    ("outputs", "detail"),
    [
        ([{"name": "label"}], "no output 'label'"),
        ([{"name": "genre", "parameters": {"classification": 3}}], "not supported"),
        ([{"name": "uncertain"}, *[{"name": "genre"}] * 3], "the output 'genre' is requested 3 times"),
    ],
)
def test_an_output_that_cannot_be_given_is_refused(outputs: list[dict[str, Any]], detail: str) -> None:
    given = InferRequest.model_validate({"inputs": [], "outputs": outputs})
    with pytest.raises(RefusalError, match=detail):
        wanted_outputs(given)


def test_genres_that_one_of_two_models_lacks_have_probability_0() -> None:
    other = ANSWER.model_copy(update={"genre": "polka", "probabilities": {"polka": 0.75, "jazz": 0.25}})
    wanted = wanted_outputs(InferRequest(inputs=[]))
    described, binary = write_outputs(wanted, [ANSWER, other])
    values = {output.name: output.data for output in described}
    assert not binary
    assert values["genres"] == ["blues", "jazz", "rock", "polka"]
    assert values["probabilities"] == pytest.approx([0.2, 0.7, 0.1, 0, 0, 0.25, 0, 0.75])
    assert {output.name: output.shape for output in described}["probabilities"] == [2, 4]
