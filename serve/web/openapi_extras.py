"""Parts of the OpenAPI document that FastAPI cannot derive: bodies, errors and examples."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel

from raygenre.audio.file_type import format_list
from serve.errors import MEDIA_TYPE
from serve.schema import EXAMPLES, Answer, Problem, StreamedWindow
from serve.tag_schema import TAG_EXAMPLE, TagAnswer

Response = dict[str, Any]

_BINARY = {"type": "string", "format": "binary"}
_FILE = (
    f"The file itself, with any content type but that of JSON: a PNG like the dataset's, or audio: {format_list()}. "
    "It may be compressed with gzip (`Content-Encoding: gzip`)."
)
_FORM = {"type": "object", "properties": {"file": {"type": "array", "items": _BINARY}}, "required": ["file"]}
_ERRORS = {  # description and example detail
    400: ("The request is malformed.", "the JSON is malformed: inputs: Field required"),
    401: (
        "The API key is missing or wrong; send `Authorization: Bearer KEY` or `X-API-Key: KEY`.",
        "missing or wrong API key; send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`",
    ),
    404: (
        "The version is not being served, there is no such job, or tags are requested without the pretrained network.",
        "version '2' is not being served; served: 3",
    ),
    408: (
        "The body stalled, arrived too slowly, or took over an hour.",
        "the body arrived at less than 20 kB/s over 10 s (RAYGENRE_UPLOAD_RATE); send it again, or use `raygenre "
        "predict` on your own machine, which has no limit",
    ),
    413: (
        "The request is too large, or has too many files.",
        "the request is larger than the limit of 350 MB (RAYGENRE_MOST_BYTES); send an MP3, send it to /v1/jobs, "
        "or use `raygenre predict` on your own machine, which has no limit",
    ),
    415: (
        "The file, or every file of the form, is neither a PNG nor audio, or the body is JSON or has an encoding other "
        "than gzip; the detail says what it is.",
        "the file is neither a PNG nor audio: it is a web page; copy or download it again",
    ),
    422: (
        "The file is unusable, no file of the form is usable, or the form is malformed; the detail says why.",
        "the audio lasts 1.2 s; at least 3 s are needed",
    ),
    429: (
        "Too many predictions are in progress, or this was the slowest of too many uploads, or too many jobs are "
        "waiting; retry after the time in Retry-After.",
        "too many predictions in progress; retry later",
    ),
    503: (
        "The response was not ready in time, there is no space for more files, or no replica is available; retry after "
        "the time in Retry-After.",
        "the response was not ready within 30 s (RAYGENRE_REQUEST_SECONDS); retry later, or use `raygenre predict` on "
        "your own machine, which has no limit",
    ),
}
_HEADERS: dict[str, Response] = {
    "X-Request-ID": {
        "description": "Request id: the client's if it has up to 100 letters, digits and `._:-`, otherwise a new id.",
        "schema": {"type": "string"},
        "example": EXAMPLES["id"],
    },
    "Retry-After": {"description": "Seconds to wait before retrying.", "schema": {"type": "integer"}, "example": 2},
    "WWW-Authenticate": {"description": "Authentication scheme.", "schema": {"type": "string"}, "example": "Bearer"},
    "X-Windows": {
        "description": "Number of windows in the file, including silent ones.",
        "schema": {"type": "integer"},
        "example": 8,
    },
}
_HEADERS["Location"] = {
    "description": "Path of the job.",
    "schema": {"type": "string"},
    "example": "/v1/jobs/0f8fad5bd9cb469fa16570867728950e",
}
_ERROR_HEADERS = {401: ["WWW-Authenticate"], 429: ["Retry-After"], 503: ["Retry-After"]}


def _headers(*names: str) -> dict[str, Response]:
    return {name: _HEADERS[name] | {"required": True} for name in names}


def _problem(status: int) -> Response:
    reason, detail = _ERRORS[status]
    example = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, request_id=str(EXAMPLES["id"]))
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example.model_dump()}
    return {
        "description": reason,
        "headers": _headers(*_ERROR_HEADERS.get(status, [])),
        "content": {MEDIA_TYPE: content},
    }


def problems(*statuses: int) -> dict[int | str, Response]:
    """Return the descriptions of error responses by status."""
    return {status: _problem(status) for status in statuses}


def _usage(*commands: str) -> dict[str, Any]:
    return {"x-codeSamples": [{"lang": "Shell", "source": f"curl {command}"} for command in commands]}


def json_body(model: type[BaseModel], description: str, *commands: str) -> dict[str, Any]:
    """Return the description of a JSON body, with curl commands that send one; see also `complete`."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}
    return {"requestBody": {"required": True, "description": description, "content": content}, **_usage(*commands)}


PUBLIC_RESPONSES = problems(429, 503)
PROTECTED_RESPONSES = problems(401) | PUBLIC_RESPONSES
INFER_STATUSES = tuple(status for status in _ERRORS if status != 404)
PREDICT_STATUSES = tuple(status for status in INFER_STATUSES if status != 400)
PREDICT_RESPONSES = problems(404, *PREDICT_STATUSES) | {
    200: {
        "description": "The genre of the file, or of each file in a form. A form gets this status if at least one of "
        "its files was classified; `errors` names the others.",
        "content": {
            "application/json": {
                "examples": {
                    "file": {"summary": "A file as the body", "value": EXAMPLES["answer"]},
                    "form": {"summary": "A form of two files, one of them unusable", "value": EXAMPLES["answers"]},
                    "tags": {"summary": "Tags of the pretrained network", "value": TAG_EXAMPLE},
                }
            },
            "application/x-ndjson": {
                "schema": {
                    "description": "One of these per line: the windows, then the whole answer or an error. Tags are a "
                    "single line.",
                    "anyOf": [
                        {"$ref": f"#/components/schemas/{model.__name__}"}
                        for model in (StreamedWindow, Answer, TagAnswer, Problem)
                    ],
                }
            },
        },
    }
}
SPECTROGRAM_RESPONSES = problems(*PREDICT_STATUSES) | {
    200: {
        "description": "A PNG of 432×288 pixels, as in GTZAN.",
        "headers": _headers("X-Windows"),
        "content": {"image/png": {"schema": _BINARY}},
    }
}

JOB_STATUS_RESPONSES = problems(401, 404, 422, 429, 503)
JOB_RESPONSES = problems(404, *PREDICT_STATUSES) | {
    202: {"description": "The job was accepted.", "headers": _headers("Location", "Retry-After")}
}

API_KEY: dict[str, Any] = {"security": [{"bearer": []}, {"key": []}, {}]}
FILE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": _FILE,
        "content": {"application/octet-stream": {"schema": _BINARY}},
    },
    **_usage("--data-binary @song.mp3 'http://localhost:8000/v1/spectrogram?window=2' -o song.png"),
}
FILES_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": f"{_FILE} Alternatively, a form with one or more such files as parts named `file`.",
        "content": {"application/octet-stream": {"schema": _BINARY}, "multipart/form-data": {"schema": _FORM}},
    },
    **_usage(
        "--data-binary @song.mp3 http://localhost:8000/v1/predict",
        "-F file=@one.mp3 -F file=@two.flac http://localhost:8000/v1/predict",
        "--data-binary @song.mp3 'http://localhost:8000/v1/predict?tags=true'",
        "--data-binary @song.mp3 -N -H 'Accept: application/x-ndjson' http://localhost:8000/v1/predict",
    ),
}
JOB_BODY: dict[str, Any] = FILES_BODY | _usage(
    "--data-binary @mix.mp3 http://localhost:8000/v1/jobs",
    "http://localhost:8000/v1/jobs/0f8fad5bd9cb469fa16570867728950e",
)


def complete(document: dict[str, Any], *, bodies: Sequence[type[BaseModel]]) -> None:
    """Add the parts that FastAPI cannot derive to the generated document.

    Args:
        bodies: the models of the bodies described with `json_body`.
    """
    schemas = document["components"]["schemas"]
    models: list[type[BaseModel]] = [Problem, StreamedWindow, *bodies]
    for model in models:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {})
        schemas[model.__name__] = schema
    document["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    for operations in document["paths"].values():
        for operation in operations.values():
            for response in operation["responses"].values():
                response["headers"] = _headers("X-Request-ID") | response.get("headers", {})
