"""The endpoint's HTTP API: a FastAPI application around a `Service`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse, Response
from starlette.exceptions import HTTPException

from raygenre.evaluation.model_card import markdown_card
from serve.admission.upload import Reservation, UploadedFile, is_form, read_files
from serve.errors import RefusalError, problem
from serve.schema import Answer, Answers, Health, ModelFacts, Readiness, TrainedOn
from serve.service import Service
from serve.web import openapi_extras, outcomes
from serve.web.client_disconnect import ClientDisconnectMiddleware
from serve.web.request_log import RequestLogMiddleware

PAGE = Path(__file__).parent / "page"
ASSETS = {
    "page.css": "text/css",
    "element.js": "text/javascript",
    "page.js": "text/javascript",
    "docs.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


async def _require_key(request: Request) -> None:
    """Check the API key before the body is read."""
    if not _service(request).keys.accept(request.headers):
        detail = "missing or wrong API key; send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
        raise RefusalError(401, detail, {"WWW-Authenticate": "Bearer"})


_public = APIRouter()
_protected = APIRouter(prefix="/v1", dependencies=[Depends(_require_key)])


def build(service: Service) -> FastAPI:
    """Return a replica's application."""
    api = build_without_service()
    api.state.service = service
    if service.settings.origins:
        headers = ["Authorization", "X-API-Key", "Content-Type", "X-Request-ID"]
        api.add_middleware(
            CORSMiddleware,
            allow_origins=service.settings.origins,
            allow_methods=["GET", "POST"],
            allow_headers=headers,
            expose_headers=["X-Request-ID", "X-Windows", "Retry-After"],
        )
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
    api.include_router(_public)
    api.add_exception_handler(RefusalError, _refusal)
    api.add_exception_handler(HTTPException, _refusal)
    api.add_exception_handler(RequestValidationError, _refusal)
    openapi_extras.complete(api.openapi())  # FastAPI caches it for /openapi.json
    return api


@_protected.post(
    "/predict",
    response_model=Answer | Answers,
    responses=openapi_extras.PREDICT_RESPONSES,
    openapi_extra=openapi_extras.API_KEY | openapi_extras.FILES_BODY,
)
async def predict(request: Request) -> Response:
    """Classify the song in the body, or each file in a form.

    The response to a form is `{"predictions": [...], "errors": [...]}`. If only some of its files can be classified,
    their answers are returned with status 200, and `errors` gives the reason for each of the other files. If none can
    be classified, the response is an error with the highest status of the files.
    """
    service = _service(request)
    with service.memory.reservation() as reservation:
        async with _time_limit(request) as deadline:
            service.predictions.check()
            files = await _read(request, reservation)
        results = await service.predict(files, request.state.request_id, deadline=deadline)
    request.state.facts.update(outcomes.log_fields(results))
    response = outcomes.response_of(files, results, is_form=is_form(request))
    return Response(response.model_dump_json(), media_type="application/json")


@_protected.post(
    "/spectrogram",
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
    async with _time_limit(request):
        service.predictions.check()
        with service.memory.reservation() as reservation:
            files = await _read(request, reservation)
            if len(files) != 1:
                raise RefusalError(422, "the form has several files; send one file per request")
            with service.predictions.slot():
                picture, windows = await service.decoders.picture(files[0].data, window)
    return Response(picture, media_type="image/png", headers={"X-Windows": str(windows)})


@_protected.get("/model", responses=openapi_extras.PROTECTED_RESPONSES, openapi_extra=openapi_extras.API_KEY)
async def model(request: Request) -> ModelFacts:
    """Describe the model being served."""
    service = _service(request)
    champion, challenger = service.models.champion, service.models.challenger
    classifier, facts = champion.fetched.classifier, champion.fetched.facts
    return ModelFacts(
        model=champion.name,
        genres=list(classifier.genres),
        test_accuracy=facts.test_accuracy if facts else None,
        synthetic=champion.trained_on.is_synthetic,
        trained_on=TrainedOn(**asdict(champion.trained_on)),
        threshold=classifier.calibration.threshold,
        sha256=classifier.sha256,
        card=markdown_card(classifier, name=champion.fetched.name, facts=facts),
        challenger=challenger.name if challenger else None,
        most_bytes=service.limits.body_bytes,
        most_seconds=service.limits.audio_seconds,
    )


@_public.get("/healthz", responses=openapi_extras.PUBLIC_RESPONSES)
async def healthz() -> Health:
    """Report that the process is alive."""
    return Health()


@_public.get("/readyz", responses=openapi_extras.PUBLIC_RESPONSES)
async def readyz(request: Request) -> Readiness:
    """Report the models being served; a replica without a model never starts."""
    models = _service(request).models
    challenger = models.challenger
    return Readiness(
        model=models.champion.name, challenger=challenger.name if challenger else None, trouble=dict(models.errors)
    )


@_public.get("/", include_in_schema=False)
async def page() -> FileResponse:
    """Return the page for classifying a song in the browser."""
    return FileResponse(PAGE / "index.html", media_type="text/html")


@_public.get("/docs", include_in_schema=False)
async def docs() -> FileResponse:
    """Return the API documentation page."""
    return FileResponse(PAGE / "docs.html", media_type="text/html")


@_public.get("/page/{name}", include_in_schema=False)
async def asset(name: str) -> FileResponse:
    """Return a stylesheet, script or icon that the pages use."""
    if name not in ASSETS:
        raise RefusalError(404, "no such file")
    return FileResponse(PAGE / name, media_type=ASSETS[name])


async def _read(request: Request, reservation: Reservation) -> list[UploadedFile]:
    """Return the files in the body, subject to the upload and memory limits."""
    service = _service(request)
    async with service.uploads.slot():
        files = await read_files(request, service.limits, reservation)
    request.state.facts.update(bytes=reservation.bytes, files=len(files))
    request.state.is_read = True
    return files


@asynccontextmanager
async def _time_limit(request: Request) -> AsyncIterator[float]:
    """Refuse a request that exceeds its time limit: 408 while its body arrives, 503 afterwards.

    Yields the deadline, a time of the event loop.
    """
    service = _service(request)
    request.state.is_read = False
    seconds = service.limits.request_seconds
    deadline = asyncio.get_running_loop().time() + seconds
    try:
        async with asyncio.timeout_at(deadline):
            yield deadline
    except TimeoutError as error:
        if request.state.is_read:
            raise service.limits.late() from error
        raise RefusalError(408, f"the body did not arrive within {seconds:g} s", {"Connection": "close"}) from error


async def _refusal(request: Request, error: Exception) -> Response:
    request_id = request.state.request_id
    if isinstance(error, RefusalError):
        return problem(error.status, error.detail, request_id, error.headers, error.errors)
    if isinstance(error, HTTPException):
        return problem(error.status_code, str(error.detail), request_id, dict(error.headers or {}))
    assert isinstance(error, RequestValidationError)
    detail = "; ".join(f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors())
    return problem(422, detail, request_id)


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service
