"""A client for the Open Inference Protocol v2 with binary data, based on the specification."""

import json
import struct
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

HEADER_LENGTH = "Inference-Header-Content-Length"
DTYPES = {"FP32": "<f4", "BOOL": "?", "UINT8": "u1"}


def pack(elements: list[bytes]) -> bytes:
    """Return a BYTES tensor as binary data."""
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def unpack(data: bytes) -> list[bytes]:
    """Return the elements of a BYTES tensor."""
    elements = []
    while data:
        end = 4 + struct.unpack("<I", data[:4])[0]
        elements.append(data[4:end])
        data = data[end:]
    return elements


def binary_request(
    name: str, datatype: str, shape: list[int], data: bytes, **fields: object
) -> tuple[bytes, dict[str, str]]:
    """Return the body and headers of a request with one input as binary data."""
    tensor = {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": len(data)}}
    head = json.dumps({"inputs": [tensor], **fields}).encode()
    return head + data, {HEADER_LENGTH: str(len(head)), "Content-Type": "application/octet-stream"}


def outputs(response: httpx.Response) -> dict[str, NDArray[Any] | list[str]]:
    """Return the outputs of a response by name, with BYTES tensors as lists."""
    assert response.status_code == 200, response.text
    size = int(response.headers.get(HEADER_LENGTH, len(response.content)))
    rest = response.content[size:]
    values: dict[str, NDArray[Any] | list[str]] = {}
    for output in json.loads(response.content[:size])["outputs"]:
        kind, length = output["datatype"], output.get("parameters", {}).get("binary_data_size")
        if length is None:
            data: Any = output["data"]
        else:
            data, rest = rest[:length], rest[length:]
            data = [e.decode() for e in unpack(data)] if kind == "BYTES" else np.frombuffer(data, DTYPES[kind])
        values[output["name"]] = data if kind == "BYTES" else np.array(data, DTYPES[kind]).reshape(output["shape"])
        assert list(np.shape(values[output["name"]])) == output["shape"]
    assert not rest
    return values
