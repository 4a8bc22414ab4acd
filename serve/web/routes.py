"""The endpoint's HTTP API: a FastAPI application around a `Service`."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import Response

from serve.admission.bodies import Reservation, size_of, start_of
from serve.admission.deadline import Deadline
from serve.admission.upload import UploadedFile, is_form, read_files, refuse_json
from serve.errors import RefusalError
from serve.jobs import routes as job_routes
from serve.jobs.jobs import Jobs
from serve.protocols import mlflow_scoring, open_inference
from serve.protocols.body import COPIES, Input, check_size
from serve.protocols.mlflow_scoring import Invocation
from serve.protocols.open_inference_schema import InferRequest
from serve.schema import Answer, Answers, Health, ModelFacts, Readiness
from serve.service import Service
from serve.stream import Stream
from serve.tag_schema import TagAnswer, TagAnswers, TagFacts
from serve.web import lines, openapi_extras, outcomes, refusals
from serve.web.client_disconnect import ClientDisconnectMiddleware
from serve.web.facts import model_facts
from serve.web.head_requests import HeadMiddleware
from serve.web.lines import LineResponse, accepts_lines
from serve.web.pages import pages
from serve.web.request_log import RequestLogMiddleware


async def _require_key(request: Request) -> None:
    """Check the API key before the body is read."""
    if not _service(request).keys.accept(request.headers):
        detail = "missing or wrong API key; send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
        raise RefusalError(401, detail, {"WWW-Authenticate": "Bearer"})


_TAGS = "Return the pretrained network's tags instead of the model's genres."
_PICTURES = "Whether streamed windows have pictures, if the model's input is spectrograms."
T = TypeVar("T")

_public = APIRouter()
_protected = APIRouter(prefix="/v1", dependencies=[Depends(_require_key)])


def build(service: Service) -> FastAPI:
    """Return a replica's application."""
    api = build_without_service()
    api.state.service = service
    api.state.jobs = jobs = Jobs(service)
    api.router.lifespan_context = lambda _: jobs.running()
    if service.settings.origins:
        headers = ["Authorization", "X-API-Key", "Content-Type", "X-Request-ID", open_inference.HEADER_LENGTH]
        api.add_middleware(
            CORSMiddleware,
            allow_origins=service.settings.origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=headers,
            expose_headers=["X-Request-ID", "X-Windows", "Retry-After", "Location", open_inference.HEADER_LENGTH],
        )
    api.add_middleware(HeadMiddleware)
    api.add_middleware(RequestLogMiddleware, service=service)
    api.add_middleware(ClientDisconnectMiddleware)
    return api


def build_without_service() -> FastAPI:
    """Return the application without a service; this is enough to generate its OpenAPI document."""
    api = FastAPI(
        title="raygenre",
        version=version("raygenre"),
        summary="Classifies the genre of a song, or of a spectrogram like GTZAN's.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # redirects would use the client's Host header and precede the API key check
    )
    api.include_router(_protected)
    api.include_router(job_routes.protected(refuse_json), dependencies=[Depends(_require_key)])
    api.include_router(_public)
    api.include_router(pages)
    for protocol in (mlflow_scoring, open_inference):
        api.include_router(protocol.protected(_classify), dependencies=[Depends(_require_key)])
        api.include_router(protocol.public)
    for error in refusals.HANDLED:
        api.add_exception_handler(error, refusals.handle)
    openapi_extras.complete(api.openapi(), bodies=(Invocation, InferRequest))  # FastAPI caches it for /openapi.json
    return api


@_protected.post(
    "/predict",
    dependencies=[Depends(refuse_json)],
    response_model=Answer | Answers | TagAnswer | TagAnswers,
    responses=openapi_extras.PREDICT_RESPONSES,
    openapi_extra=openapi_extras.API_KEY | openapi_extras.FILES_BODY,
)
async def predict(
    request: Request,
    tags: Annotated[bool, Query(description=_TAGS)] = False,
    pictures: Annotated[bool, Query(description=_PICTURES)] = False,
) -> Response:
    """Classify the song in the body, or each file in a form.

    With `tags=true`, or while the registry has no champion, the response contains tags from the pretrained network.

    The response to a form is `{"predictions": [...], "errors": [...]}`. If only some of its files can be classified,
    their answers are returned with status 200, and `errors` gives the reason for each of the other files. If none can
    be classified, the response is an error with the highest of the files' statuses.

    With `Accept: application/x-ndjson`, the answer to one file is sent as lines of JSON while it is being decoded: each
    window as soon as it is classified, and the whole answer last. An error after the first line is the last line.
    Tags are a single line.
    """
    service = _service(request)
    service.predictions.check()
    as_tags, as_lines = tags or not service.models.has_champion, accepts_lines(request)
    if as_lines and not as_tags:
        return await _stream(request, pictures=pictures)
    with service.bodies.reservation() as reservation:
        files = [await _read_one(request, reservation)] if as_lines else await _read(request, reservation)
        deadline = Deadline(service.limits, body_bytes=reservation.bytes)
        is_list = is_form(request) and not as_lines
        response = await _answer(request, files, deadline, as_tags=as_tags, is_list=is_list)
    if as_lines:
        return Response(response.model_dump_json() + "\n", media_type=lines.MEDIA_TYPE)
    return Response(response.model_dump_json(), media_type="application/json")


async def _answer(
    request: Request, files: Sequence[UploadedFile], deadline: Deadline, *, as_tags: bool, is_list: bool
) -> Answer | Answers | TagAnswer | TagAnswers:
    service, request_id = _service(request), request.state.request_id
    if as_tags:
        tagged = await service.tag(files, request_id, deadline=deadline)
        request.state.facts.update(outcomes.log_fields(tagged))
        return outcomes.response_of(files, tagged, TagAnswers, is_form=is_list)
    results = await service.predict(files, request_id, deadline=deadline)
    request.state.facts.update(outcomes.log_fields(results))
    return outcomes.response_of(files, results, Answers, is_form=is_list)


@_protected.post(
    "/spectrogram",
    dependencies=[Depends(refuse_json)],
    response_class=Response,
    responses=openapi_extras.SPECTROGRAM_RESPONSES,
    openapi_extra=openapi_extras.API_KEY | openapi_extras.FILE_BODY,
)
async def spectrogram(request: Request, window: Annotated[int, Query(ge=0, le=10_000)] = 0) -> Response:
    """Return the spectrogram of a file of up to 31 s, or of one window of a longer file, as a PNG like the dataset's.

    The header `X-Windows` gives the number of windows, including silent windows. The windows are numbered from 0, and
    these numbers are the same as in predictions.
    """
    service = _service(request)
    service.predictions.check()
    with service.bodies.reservation() as reservation:
        file = await _read_one(request, reservation)
        deadline = Deadline(service.limits, body_bytes=reservation.bytes)
        async with deadline.limit():
            with service.predictions.slot():
                kind = service.window_kind
                picture, windows = await service.decoders.picture(file.data, window, deadline.add_audio, kind)
    return Response(picture, media_type="image/png", headers={"X-Windows": str(windows)})


@_protected.get("/model", responses=openapi_extras.PROTECTED_RESPONSES, openapi_extra=openapi_extras.API_KEY)
async def model(request: Request) -> ModelFacts | TagFacts:
    """Describe the model being served, or the pretrained network while the registry has no champion."""
    return model_facts(_service(request))


@_public.get("/healthz", responses=openapi_extras.PUBLIC_RESPONSES)
async def healthz() -> Health:
    """Report that the process is alive."""
    return Health()


@_public.get("/readyz", responses=openapi_extras.PUBLIC_RESPONSES)
async def readyz(request: Request) -> Readiness:
    """Report the models being served; a replica with neither a model nor the pretrained network never starts."""
    models = _service(request).models
    challenger = models.challenger
    return Readiness(
        model=models.champion.name if models.has_champion else None,
        challenger=challenger.name if challenger else None,
        trouble=dict(models.errors),
    )


async def _classify(
    request: Request, parse: Callable[[bytes], tuple[T, Sequence[Input]]], *, version: str = ""
) -> tuple[T, list[Answer]]:
    """Handle a request in another protocol, as described in `serve.protocols.body.Classify`."""
    service = _service(request)
    service.models.choose(version)  # refuses an unknown version before the body is read
    if is_form(request):
        raise RefusalError(415, "this path does not accept forms; send JSON, or send the form to /v1/predict")
    service.predictions.check()
    with service.bodies.reservation() as reservation:
        [body] = await _read(request, reservation)
        size = size_of(body.data)
        check_size(size, service.limits)
        reservation.add(memory=COPIES * size)
        deadline = Deadline(service.limits, body_bytes=size)
        parsed, inputs = await asyncio.to_thread(lambda: parse(start_of(body.data, size)))
        results = await service.predict(inputs, request.state.request_id, deadline=deadline, version=version)
    request.state.facts.update(outcomes.log_fields(results), files=len(inputs))
    return parsed, outcomes.answers_of(results)


async def _stream(request: Request, *, pictures: bool) -> Response:
    """Answer with a line per window; the body is kept until the work has ended."""
    service = _service(request)
    with ExitStack() as held:
        reservation = held.enter_context(service.bodies.reservation())
        file = await _read_one(request, reservation)
        deadline = Deadline(service.limits, body_bytes=reservation.bytes)
        release = held.pop_all().close
    return await LineResponse.of(
        Stream(service, file, request.state.request_id, deadline=deadline, release=release, pictures=pictures), request
    )


async def _read_one(request: Request, reservation: Reservation) -> UploadedFile:
    files = await _read(request, reservation)
    if len(files) != 1:
        raise RefusalError(422, "the form has several files; send one file per request")
    return files[0]


async def _read(request: Request, reservation: Reservation) -> list[UploadedFile]:
    """Return the files in the body, subject to the limits on uploads."""
    service = _service(request)
    async with service.uploads.slot() as upload:
        files = await read_files(request, service.limits, reservation, upload)
    request.state.facts.update(bytes=reservation.bytes, files=len(files))
    return files


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service
