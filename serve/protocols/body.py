"""Reads request bodies that contain files inside or after JSON, using limited memory.

The bodies are parsed in memory, so they must be smaller than those of `/v1/predict`. A parsed body of many small
JSON values occupies up to a hundred times its size in memory, so the values are counted first.
"""

import base64
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from raygenre.inputs.kind import Song
from serve.admission.limits import Limits
from serve.admission.upload import UploadedFile
from serve.errors import RefusalError
from serve.schema import Answer

MAX_BYTES = 34_000_000  # maximum size of a body; enough for a 25 MB file in base64
COPIES = 2  # copies of a body in memory while it is parsed: the text, and the files in it
MAX_DETAIL = 300  # characters

Input = UploadedFile | Song
M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")


class Classify(Protocol):
    """Handles a request in any protocol within the endpoint's limits."""

    def __call__(
        self, request: Request, parse: Callable[[bytes], tuple[T, Sequence[Input]]], *, version: str = ""
    ) -> Awaitable[tuple[T, list[Answer]]]:
        """Return the parsed body and the answer to each of its inputs.

        Args:
            parse: returns the parsed body and its inputs; it runs in a thread and may raise a RefusalError.
            version: version of the model; if empty, the endpoint chooses one.

        Raises:
            RefusalError: a limit is exceeded, or an input cannot be classified.
        """


def parse_json(model: type[M], body: bytes, limits: Limits, *, max_values: int) -> M:
    """Return a JSON body as an instance of a pydantic model.

    Raises:
        RefusalError: 400 if the body is malformed, 413 if it has more than `max_values` values.
    """
    if sum(map(body.count, (b",", b"[", b"{"))) > max_values:  # these characters do not occur in base64
        raise limits.too_large(f"the JSON has more values than the limit of {max_values}")
    try:
        return model.model_validate_json(body, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        problem = first["msg"].removeprefix("Value error, ")
        place = ".".join(map(str, first["loc"]))
        raise malformed(f"the JSON is malformed: {place + ': ' if place else ''}{problem}") from error


def decode_files(texts: Sequence[str], limits: Limits) -> list[UploadedFile]:
    """Decode files from base64; line breaks are ignored.

    Raises:
        RefusalError: 400 if `texts` is empty or a text is not base64, 413 if there are too many texts.
    """
    check_number(len(texts), limits)
    return [UploadedFile("", _decode(text, number)) for number, text in enumerate(texts, 1)]


def check_size(size: int, limits: Limits) -> None:
    """Check the size of a body in bytes.

    Raises:
        RefusalError: 413 if the body is too large.
    """
    if size > MAX_BYTES:
        detail = f"the body is larger than this protocol's limit of {MAX_BYTES / 1e6:g} MB"
        raise limits.too_large(f"{detail}; send the file itself to /v1/predict")


def check_number(inputs: int, limits: Limits) -> None:
    """Check the number of inputs in a request.

    Raises:
        RefusalError: 400 if there are no inputs, 413 if there are too many.
    """
    if not inputs:
        raise malformed("the request has no files")
    if inputs > limits.form_files:
        detail = f"the request has {inputs} files, more than the limit of {limits.form_files} (RAYGENRE_MOST_FILES)"
        raise limits.too_large(f"{detail}; send several requests")


def malformed(detail: str) -> RefusalError:
    """Return a 400, with a detail of limited length because it may quote the request."""
    return RefusalError(400, detail if len(detail) <= MAX_DETAIL else f"{detail[:MAX_DETAIL]}...")


def _decode(text: str, number: int) -> bytes:
    try:
        return base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
    except ValueError as error:
        raise malformed(f"file {number} is not base64: {error}") from error
