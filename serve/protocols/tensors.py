"""The model's tensors in the Open Inference Protocol v2, as JSON and as binary data.

Inputs, one per request: `file` BYTES (N,), or `levels` UINT8 (N, 128, 333), lowest band first, if the model accepts
images.
Outputs for N inputs and G genres: `genre` BYTES (N,), `confidence` FP32 (N,), `uncertain` BOOL (N,), `probabilities`
FP32 (N, G), and `genres` BYTES (G,), which names the columns of `probabilities`.

BYTES elements are base64 in the JSON of a request, and UTF-8 in the JSON of a response. Binary data is little-endian
and follows the JSON. In binary data, each BYTES element is preceded by its length (4 bytes).

Source: https://github.com/triton-inference-server/server, docs/protocol/extension_binary_data.md
"""

import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from raygenre import audio
from raygenre.inputs.kind import Song
from raygenre.spectrogram.levels import COLUMNS, N_MELS
from serve.admission.limits import Limits
from serve.admission.upload import UploadedFile
from serve.errors import RefusalError
from serve.protocols.body import Input, check_number, decode_files, malformed
from serve.protocols.open_inference_schema import (
    Datatype,
    InferRequest,
    Parameters,
    RequestInput,
    ResponseOutput,
    TensorMetadata,
)
from serve.schema import Answer

_OUTPUTS: dict[str, Datatype] = {
    "genre": "BYTES",
    "confidence": "FP32",
    "uncertain": "BOOL",
    "probabilities": "FP32",
    "genres": "BYTES",
}
_UNSUPPORTED = ("shared_memory_region", "classification")  # parameters that cannot simply be ignored
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class WantedOutput:
    """An output to return.

    Attributes:
        is_binary: whether the output's data is sent in binary form, after the JSON.
    """

    name: str
    is_binary: bool


def input_metadata(*, takes_images: bool) -> list[TensorMetadata]:
    """Return the inputs of a model; `levels` is among them only if the model accepts images."""
    file = TensorMetadata(name="file", datatype="BYTES", shape=[-1])
    levels = TensorMetadata(name="levels", datatype="UINT8", shape=[-1, N_MELS, COLUMNS])
    return [file, levels] if takes_images else [file]


def output_metadata(genres: int) -> list[TensorMetadata]:
    """Return the outputs of a model with the given number of genres."""
    shapes = {"probabilities": [-1, genres], "genres": [genres]}
    return [TensorMetadata(name=name, datatype=kind, shape=shapes.get(name, [-1])) for name, kind in _OUTPUTS.items()]


def read_inputs(request: InferRequest, binary: bytes, limits: Limits) -> Sequence[Input]:
    """Return the files or levels in a request.

    Args:
        binary: the data that follows the JSON.

    Raises:
        RefusalError: 400 if the tensor is malformed, 413 if it has too many files, 422 if the levels are silent.
    """
    if len(request.inputs) != 1:
        raise malformed(f"a request has one input, `file` or `levels`, not {len(request.inputs)}")
    [tensor] = request.inputs
    _check_supported(tensor.parameters)
    size = tensor.parameters.get("binary_data_size", 0)
    if size != len(binary) or isinstance(size, bool):
        detail = f"binary_data_size of the input {tensor.name!r} is {size}, but {len(binary)} bytes follow the JSON"
        raise malformed(detail)
    if (tensor.data is None) is ("binary_data_size" not in tensor.parameters):
        raise malformed(f"the input {tensor.name!r} must have exactly one of `data` and `binary_data_size`")
    match tensor.name, tensor.datatype, tensor.shape:
        case "file", "BYTES", [number] | [number, 1]:
            return _files(tensor, binary, number, limits)
        case "levels", "UINT8", [number, 128, 333]:
            return _levels(tensor, binary, number, limits)
    detail = f"the input {tensor.name!r} is {tensor.datatype} {tensor.shape}; the model accepts `file`, BYTES [N], or "
    raise malformed(f"{detail}`levels`, UINT8 [N, {N_MELS}, {COLUMNS}]")


def wanted_outputs(request: InferRequest) -> list[WantedOutput]:
    """Return the outputs that a client wants, in the requested order.

    Raises:
        RefusalError: 400 if a requested output does not exist, or is requested twice.
    """
    is_binary = request.parameters.get("binary_data_output") is True
    if not request.outputs:
        return [WantedOutput(name, is_binary) for name in _OUTPUTS]
    for output in request.outputs:
        _check_supported(output.parameters)
        if output.name not in _OUTPUTS:
            raise malformed(f"there is no output {output.name!r}; the outputs are {', '.join(_OUTPUTS)}")
    name, number = Counter(output.name for output in request.outputs).most_common(1)[0]
    if number > 1:
        raise malformed(f"the output {name!r} is requested {number} times; request each output once")
    return [WantedOutput(out.name, out.parameters.get("binary_data", is_binary) is True) for out in request.outputs]


def write_outputs(wanted: Sequence[WantedOutput], answers: Sequence[Answer]) -> tuple[list[ResponseOutput], bytes]:
    """Return the outputs, and the binary data that follows the JSON."""
    outputs, binary = [], []
    for output in wanted:
        values = _values(output.name, answers)
        shape = list(np.shape(values))
        described = ResponseOutput(name=output.name, datatype=_OUTPUTS[output.name], shape=shape)
        if output.is_binary:
            data = _to_binary(values)
            described.parameters = {"binary_data_size": len(data)}
            binary.append(data)
        else:
            described.data = values if isinstance(values, list) else values.ravel().tolist()
        outputs.append(described)
    return outputs, b"".join(binary)


def _check_supported(parameters: Parameters) -> None:
    for name in _UNSUPPORTED:
        if name in parameters:
            raise malformed(f"the parameter {name} is not supported; send and read the data in the body")


def _files(tensor: RequestInput, binary: bytes, number: int, limits: Limits) -> list[UploadedFile]:
    check_number(number, limits)
    if tensor.data is None:
        # An element may have only 4 bytes in the body, but its file takes many times as much memory.
        files = [UploadedFile("", element) for element in islice(_elements(binary), limits.form_files + 1)]
    else:
        elements = [part for element in tensor.data for part in (element if isinstance(element, list) else [element])]
        texts = [element for element in elements if isinstance(element, str)]
        if len(texts) != len(elements):
            raise malformed("an element of the input `file` is not text; send files in base64")
        files = decode_files(texts, limits)
    if len(files) != number:
        found = "more" if len(files) > number else len(files)
        raise malformed(f"the shape of the input `file` specifies {number} files, but the data contains {found}")
    return files


def _elements(binary: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(binary):
        data_start = start + _LENGTH.size
        end = data_start + _LENGTH.unpack(binary[start:data_start].ljust(_LENGTH.size, b"\xff"))[0]
        if end > len(binary):
            raise malformed("the binary data of the input `file` ends before its last element")
        yield binary[data_start:end]
        start = end


def _levels(tensor: RequestInput, binary: bytes, number: int, limits: Limits) -> list[Song]:
    check_number(number, limits)
    levels = np.frombuffer(binary, np.uint8).copy() if tensor.data is None else _integers(tensor.data)
    if levels.size != number * N_MELS * COLUMNS:
        detail = f"the shape of the input `levels` specifies {number * N_MELS * COLUMNS} levels, but the data contains"
        raise malformed(f"{detail} {levels.size}")
    songs = levels.reshape(number, N_MELS, COLUMNS)
    if not songs.any(axis=(1, 2)).all():
        raise RefusalError(422, audio.SILENT_MESSAGE)
    return [Song(song[None], ()) for song in songs]


def _integers(data: Sequence[object]) -> NDArray[np.uint8]:
    detail = "the data of the input `levels` are not integers from 0 to 255, flat or nested as its shape specifies"
    values = list(data)
    while rows := [value for value in values if isinstance(value, list)]:
        if len(rows) < len(values) or len({len(row) for row in rows}) > 1:
            raise malformed(detail)
        values = list(chain.from_iterable(rows))
    # NumPy would convert other types, and allocate the size of the longest text for each value.
    integers = [value for value in values if type(value) is int and 0 <= value <= 255]
    if not values or len(integers) < len(values):
        raise malformed(detail)
    return np.array(integers, np.uint8)


def _values(name: str, answers: Sequence[Answer]) -> list[str] | NDArray[np.float32] | NDArray[np.bool_]:
    if name == "genre":
        return [answer.genre for answer in answers]
    if name == "confidence":
        return np.array([answer.confidence for answer in answers], np.float32)
    if name == "uncertain":
        return np.array([answer.uncertain for answer in answers])
    # If the challenger fails on a file, the answers come from two models, whose genres may differ. A genre that a model
    # lacks has probability 0.
    genres = list(dict.fromkeys(genre for answer in answers for genre in answer.probabilities))
    if name == "genres":
        return genres
    return np.array([[answer.probabilities.get(genre, 0.0) for genre in genres] for answer in answers], np.float32)


def _to_binary(values: list[str] | NDArray[np.float32] | NDArray[np.bool_]) -> bytes:
    if isinstance(values, list):
        return b"".join(_LENGTH.pack(len(data)) + data for data in (value.encode() for value in values))
    return values.astype(values.dtype.newbyteorder("<")).tobytes()
