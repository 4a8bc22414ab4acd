"""The endpoint's paths, as a FastAPI application over a service."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from socket import socket
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse, Response
from starlette.exceptions import HTTPException

from raygenre.evaluation.model_card import markdown_card
from serve.admission.upload import Account, is_form, read_files
from serve.errors import RefusalError, problem
from serve.network import direct_port
from serve.schema import Answer, Answers, Health, ModelFacts, Readiness
from serve.service import Service
from serve.web import openapi_extras
from serve.web.request_log import RequestLogMiddleware

PAGE = Path(__file__).parent / "page"
ASSETS = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "docs.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


async def _admit(request: Request) -> None:
    """Ask for a key, before anything of the body is read."""
    if not _service(request).keys.admit(request.headers):
        raise RefusalError(401, "an API key is needed", {"WWW-Authenticate": "Bearer"})


_open = APIRouter()
_guarded = APIRouter(prefix="/v1", dependencies=[Depends(_admit)])


def build(service: Service, taken: socket | None = None) -> FastAPI:
    """Return the application of a replica, which answers on a port of its own as well if one was taken."""
    api = blank()
    api.state.service = service
    if taken:
        api.router.lifespan_context = lambda _: direct_port.answering(api, taken)
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
    return api


def blank() -> FastAPI:
    """Return the application without a service: it tells what it would answer, and answers nothing."""
    api = FastAPI(
        title="raygenre",
        version=version("raygenre"),
        summary="Names the genre of a song, or of a GTZAN-style spectrogram.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # to an address made of the Host that a client names, before it has shown a key
    )
    api.include_router(_guarded)
    api.include_router(_open)
    api.add_exception_handler(RefusalError, _refusal)
    api.add_exception_handler(HTTPException, _refusal)
    api.add_exception_handler(RequestValidationError, _refusal)
    openapi_extras.complete(api.openapi())  # made once: it is kept, and told by /openapi.json
    return api


@_guarded.post(
    "/predict",
    response_model=Answer | Answers,
    responses=openapi_extras.PREDICTED,
    openapi_extra=openapi_extras.KEY | openapi_extras.SEVERAL,
)
async def predict(request: Request) -> Response:
    """Name the genre of the song in the body, or of each file of a form, which gets `{"predictions": [...]}`."""
    service = _service(request)
    async with _in_time(request):
        service.check_room()
        with service.held.account() as account:
            files = await _read(request, account)
            answers = await service.predict(files, request.state.request_id)
    versions = dict.fromkeys(answer.model.version for answer in answers)  # two, where a challenger failed over a file
    request.state.facts.update(genres=[answer.genre for answer in answers], model=",".join(versions))
    answer = Answers(predictions=answers) if is_form(request) else answers[0]
    return Response(answer.model_dump_json(), media_type="application/json")


@_guarded.post(
    "/spectrogram",
    response_class=Response,
    responses=openapi_extras.DRAWN,
    openapi_extra=openapi_extras.KEY | openapi_extras.ONE,
)
async def spectrogram(request: Request, window: Annotated[int, Query(ge=0, le=10_000)] = 0) -> Response:
    """Draw the file as the dataset has it: all of it up to 31 s, else the window asked for, the first one by default.

    The header `X-Windows` tells how many windows there are. They are counted with the silent ones, as the `number` of
    an answer's windows is.
    """
    service = _service(request)
    async with _in_time(request):
        service.check_room()
        with service.held.account() as account:
            files = await _read(request, account)
            if len(files) != 1:
                raise RefusalError(422, "one file is drawn at a time")
            with service.working():
                picture, windows = await service.decoder.picture(files[0], window)
    return Response(picture, media_type="image/png", headers={"X-Windows": str(windows)})


@_guarded.get("/model", responses=openapi_extras.KEYED, openapi_extra=openapi_extras.KEY)
async def model(request: Request) -> ModelFacts:
    """Say what is known of the model that answers."""
    models = _service(request).models
    loaded, challenger = models.champion, models.challenger
    classifier, facts = loaded.fetched.classifier, loaded.fetched.facts
    return ModelFacts(
        model=loaded.name,
        genres=list(classifier.genres),
        test_accuracy=facts.test_accuracy if facts else None,
        synthetic=facts.synthetic if facts else None,
        threshold=classifier.calibration.threshold,
        sha256=classifier.sha256,
        card=markdown_card(classifier, name=loaded.fetched.name, facts=facts),
        challenger=challenger.name if challenger else None,
        most_bytes=_service(request).settings.most_bytes,
        most_seconds=_service(request).settings.most_seconds,
    )


@_open.get("/healthz", responses=openapi_extras.BUSY)
async def healthz() -> Health:
    """Say that the process answers."""
    return Health()


@_open.get("/readyz", responses=openapi_extras.BUSY)
async def readyz(request: Request) -> Readiness:
    """Say what is in service; a replica without a model never starts."""
    models = _service(request).models
    challenger = models.challenger
    return Readiness(
        model=models.champion.name, challenger=challenger.name if challenger else None, trouble=dict(models.trouble)
    )


@_open.get("/", include_in_schema=False)
async def page() -> FileResponse:
    """The page where a person drops a song."""
    return FileResponse(PAGE / "index.html", media_type="text/html")


@_open.get("/docs", include_in_schema=False)
async def docs() -> FileResponse:
    """This application's paths, for people."""
    return FileResponse(PAGE / "docs.html", media_type="text/html")


@_open.get("/page/{name}", include_in_schema=False)
async def asset(name: str) -> FileResponse:
    """What the pages are made of."""
    if name not in ASSETS:
        raise RefusalError(404, "Not Found")
    return FileResponse(PAGE / name, media_type=ASSETS[name])


async def _read(request: Request, account: Account) -> list[bytes]:
    """The files in the body, of which no more come in at a time than there is room for."""
    service = _service(request)
    async with service.arrivals.one():
        files = await read_files(request, service.settings, account)
    request.state.facts.update(bytes=account.bytes, files=len(files))
    request.state.read = True
    return files


@asynccontextmanager
async def _in_time(request: Request) -> AsyncIterator[None]:
    """Refuse a request whose time is up: 408 while its body comes in, 503 afterwards."""
    service = _service(request)
    request.state.read = False
    seconds = service.settings.request_seconds
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        if request.state.read:
            raise RefusalError(503, f"the answer was not ready within {seconds:g} s", service.wait) from error
        raise RefusalError(408, f"the body did not come within {seconds:g} s", {"Connection": "close"}) from error


async def _refusal(request: Request, error: Exception) -> Response:
    request_id = request.state.request_id
    if isinstance(error, RefusalError):
        return problem(error.status, error.detail, request_id, error.headers)
    if isinstance(error, HTTPException):
        return problem(error.status_code, str(error.detail), request_id, dict(error.headers or {}))
    assert isinstance(error, RequestValidationError)
    detail = "; ".join(f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors())
    return problem(422, detail, request_id)


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service
