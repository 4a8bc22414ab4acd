"""Reads the state of a view in MLflow as MLflow's pages do."""

import json
import zlib
from base64 import b64decode
from typing import Any


def unpack(state: str) -> Any:
    header, _, packed = state.partition(";")
    assert header == "deflate"
    return json.loads(zlib.decompress(b64decode(packed)))
