"""The routes of the Open Inference Protocol v2 (KServe, Triton) over HTTP.

The extension for binary tensor data is supported; those for shared memory and classification are not. The model's name
is `raygenre`, and its versions are those being served. `serve/protocols/tensors.py` describes its tensors. Errors are
problem details with the additional member `error`, as in the protocol.

Source: https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from serve.admission.limits import Limits
from serve.errors import RefusalError
from serve.protocols.body import Classify, Input, malformed, parse_json
from serve.protocols.open_inference_schema import (
    NAME,
    InferRequest,
    InferResponse,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
)
from serve.protocols.tensors import (
    WantedOutput,
    input_metadata,
    output_metadata,
    read_inputs,
    wanted_outputs,
    write_outputs,
)
from serve.schema import Answer
from serve.service import Service
from serve.web import openapi_extras

HEADER_LENGTH = "Inference-Header-Content-Length"  # size of the JSON in bytes, if binary data follows

_MODEL = f"/v2/models/{NAME}"
_VERSION = f"{_MODEL}/versions/{{version}}"
_VERSION_PARAMETER: dict[str, Any] = {
    "parameters": [
        {
            "name": "version",
            "in": "path",
            "required": True,
            "description": "A version being served.",
            "schema": {"type": "string"},
        }
    ]
}


@dataclass(frozen=True)
class _Call:
    """The parts of an inference request that are needed for the response."""

    id: str | None
    outputs: list[WantedOutput]


public = APIRouter()


@public.get("/v2", responses=openapi_extras.PUBLIC_RESPONSES)
@public.get("/v2/", include_in_schema=False)
async def server_metadata() -> ServerMetadata:
    """Describe the server (Open Inference Protocol)."""
    return ServerMetadata(name=NAME, version=installed_version("raygenre"), extensions=["binary_tensor_data"])


@public.get("/v2/health/live", responses=openapi_extras.PUBLIC_RESPONSES)
async def server_live() -> ServerLive:
    """Report that the server is alive (Open Inference Protocol)."""
    return ServerLive()


@public.get("/v2/health/ready", responses=openapi_extras.PUBLIC_RESPONSES)
async def server_ready(request: Request) -> ServerReady:
    """Report that the model can answer (Open Inference Protocol)."""
    service: Service = request.app.state.service
    service.models.choose()
    return ServerReady()


@public.get(f"{_MODEL}/ready", responses=openapi_extras.PUBLIC_RESPONSES)
@public.get(
    f"{_VERSION}/ready",
    responses=openapi_extras.problems(404) | openapi_extras.PUBLIC_RESPONSES,
    openapi_extra=_VERSION_PARAMETER,
)
async def model_ready(request: Request) -> ModelReady:
    """Report that the model, or a version of it, can answer (Open Inference Protocol)."""
    service: Service = request.app.state.service
    service.models.choose(_version(request))
    return ModelReady(name=NAME)


@public.api_route("/v2/models/{path:path}", methods=["GET", "POST"], include_in_schema=False)
async def other_model(path: str) -> None:
    """Refuse requests for other models; this route is registered after all others."""
    raise RefusalError(404, f"unknown model or path: {path.partition('/')[0][:50]!r}; the model is {NAME!r}")


def protected(classify: Classify) -> APIRouter:
    """Return the routes that require an API key."""
    router = APIRouter()
    metadata_responses = openapi_extras.problems(404) | openapi_extras.PROTECTED_RESPONSES
    infer_responses = openapi_extras.problems(*openapi_extras.INFER_STATUSES) | _BINARY_RESPONSE
    with_key = openapi_extras.API_KEY

    @router.get(_MODEL, responses=openapi_extras.PROTECTED_RESPONSES, openapi_extra=with_key)
    @router.get(_VERSION, responses=metadata_responses, openapi_extra=with_key | _VERSION_PARAMETER)
    async def model_metadata(request: Request) -> ModelMetadata:
        """Describe the tensors of the model, or of a version of it (Open Inference Protocol)."""
        service: Service = request.app.state.service
        model, _ = service.models.choose(_version(request))
        return ModelMetadata(
            name=NAME,
            versions=service.models.versions,
            platform="raygenre_safetensors",
            inputs=input_metadata(takes_images=model.fetched.classifier.input.takes_images),
            outputs=output_metadata(len(model.fetched.classifier.genres)),
        )

    @router.post(
        f"{_MODEL}/infer", response_model=InferResponse, responses=infer_responses, openapi_extra=with_key | _BODY
    )
    @router.post(
        f"{_VERSION}/infer",
        response_model=InferResponse,
        responses=infer_responses | openapi_extras.problems(404),
        openapi_extra=with_key | _BODY | _VERSION_PARAMETER,
    )
    async def infer(request: Request) -> Response:
        """Classify files or levels (Open Inference Protocol).

        If one of them cannot be classified, the response contains only that file's error.
        """
        limits = request.app.state.service.limits
        length = request.headers.get(HEADER_LENGTH)
        call, answers = await classify(request, lambda body: _parse(body, length, limits), version=_version(request))
        return _response(call, answers)

    return router


def _version(request: Request) -> str:
    version: str = request.path_params.get("version", "")
    return version


def _parse(body: bytes, length: str | None, limits: Limits) -> tuple[_Call, Sequence[Input]]:
    size = len(body)
    if length is not None:
        size = int(length) if length.isdecimal() and len(length) < 20 else -1
        if not 0 <= size <= len(body):
            raise malformed(f"{HEADER_LENGTH} is {length[:20]!r}, but the body has {len(body)} bytes")
    max_values = 1000 + limits.form_files * 128 * 334  # enough for the levels of `form_files` images in JSON
    request = parse_json(InferRequest, body[:size], limits, max_values=max_values)
    outputs = wanted_outputs(request)
    return _Call(request.id, outputs), read_inputs(request, body[size:], limits)


def _response(call: _Call, answers: Sequence[Answer]) -> Response:
    outputs, binary = write_outputs(call.outputs, answers)
    versions = {answer.model.version for answer in answers}
    response = InferResponse(
        model_name=NAME,
        model_version=(versions.pop() or None) if len(versions) == 1 else None,
        id=call.id,
        parameters={"trained_on": answers[0].trained_on.kind},
        outputs=outputs,
    )
    json = response.model_dump_json(exclude_none=True).encode()
    if not any(output.is_binary for output in call.outputs):
        return Response(json, media_type="application/json")
    return Response(json + binary, media_type="application/octet-stream", headers={HEADER_LENGTH: str(len(json))})


_BINARY = {"schema": {"type": "string", "format": "binary"}}
_BINARY_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The outputs, as JSON; outputs requested as binary data follow it, and "
        f"{HEADER_LENGTH} is then the size of the JSON in bytes.",
        "content": {"application/octet-stream": _BINARY},
    }
}
_BODY: dict[str, Any] = openapi_extras.json_body(
    InferRequest,
    f"The request as JSON. Binary data may follow it, if {HEADER_LENGTH} is the size of the JSON in bytes.",
    f"-H 'Content-Type: application/json' --data-binary @- http://localhost:8000{_MODEL}/infer "
    '<<< "{\\"inputs\\": [{\\"name\\": \\"file\\", \\"datatype\\": \\"BYTES\\", \\"shape\\": [1], '
    '\\"data\\": [\\"$(base64 -w0 song.mp3)\\"]}]}"',
)
