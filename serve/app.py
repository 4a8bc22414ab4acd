"""The endpoint as a Ray Serve application: one deployment that reads, decodes, batches and answers.

Run, from the project's folder:
    make serve                               # or: serve run --address local serve.app:app
    curl --data-binary @song.mp3 localhost:8000/v1/predict

It answers with the champion of the registry, or with the model that `RAYGENRE_MODEL_URI` names. Storage and tracking
server are found as by every command: `RAYGENRE_STORAGE`, `MLFLOW_TRACKING_URI`, or ./results.
"""

import asyncio
import os
from http import HTTPStatus
from pathlib import Path
from typing import Any

import click
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from ray import serve
from ray.serve import Application
from starlette.exceptions import HTTPException as RoutingError

from raygenre import registry
from raygenre.classifier import Prediction, Song, read
from raygenre.storage import Storage, resolve
from serve.schema import Answer, Health, Problem

MOST_BYTES = 25_000_000  # of a request's body
MOST_SONGS = 8  # classified in one batch
BATCH_WAIT = 0.005  # s that a song waits for others to share its batch
MOST_ONGOING = 64  # requests in a replica; more than a batch, or none would ever be full

_FILE = {
    "required": True,
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    "description": "The file itself: a dataset-style PNG, or audio in any format that FFmpeg decodes.",
}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    413: {"model": Problem, "description": "The file is too large."},
    415: {"model": Problem, "description": "The body is a form, not a file."},
    422: {"model": Problem, "description": "The file is neither a dataset-style PNG nor usable audio."},
}

api = FastAPI(title="raygenre", summary="Names the genre of a song, or of a GTZAN-style spectrogram.")


class Settings(BaseModel):
    """Arguments of `serve run serve.app:app KEY=VALUE`; the environment says what is not given."""

    model_uri: str = ""
    storage: Path | None = None
    tracking_uri: str | None = None


@api.exception_handler(RoutingError)
async def problem(_: Request, error: RoutingError) -> JSONResponse:
    """Answer an error as problem details."""
    body = Problem(title=HTTPStatus(error.status_code).phrase, status=error.status_code, detail=str(error.detail))
    return JSONResponse(body.model_dump(), error.status_code, error.headers, "application/problem+json")


# Above the deployment, since Ray Serve pickles the application with the names it uses as soon as it sees the class.
async def _body(request: Request) -> bytes:
    """Read the body, and no more of it than is allowed."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise HTTPException(413, f"the file is larger than {MOST_BYTES / 1e6:g} MB, which is the limit")
        parts.append(part)
    return b"".join(parts)


@serve.deployment(max_ongoing_requests=MOST_ONGOING)
@serve.ingress(api)
class Endpoint:
    """One replica, with a classifier of its own."""

    def __init__(self, storage: Storage, model_uri: str) -> None:
        self._fetched = registry.fetch(storage, model_uri)

    @api.post("/v1/predict", response_model=Answer, responses=_PROBLEMS, openapi_extra={"requestBody": _FILE})
    async def predict(self, request: Request) -> Answer:
        """Name the genre of the song in the body, whatever content type it states."""
        if request.headers.get("content-type", "").startswith("multipart/"):
            raise HTTPException(415, "send the file itself as the body, as `curl --data-binary @FILE` does")
        body = await _body(request)
        try:
            song = await asyncio.to_thread(read, body)
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        prediction: Prediction = await self._classify(song)
        return Answer(
            genre=prediction.genre,
            confidence=prediction.confidence,
            uncertain=prediction.uncertain,
            probabilities=dict(prediction.probabilities),
            model=self._fetched.name,
        )

    @serve.batch(max_batch_size=MOST_SONGS, batch_wait_timeout_s=BATCH_WAIT)
    async def _classify(self, songs: list[Song]) -> list[Prediction]:
        return await asyncio.to_thread(self._fetched.classifier.predict_many, songs)

    @api.get("/healthz", response_model=Health)
    async def healthz(self) -> Health:
        """Say that the process answers."""
        return Health(status="alive", model=self._fetched.name)

    @api.get("/readyz", response_model=Health)
    async def readyz(self) -> Health:
        """Say that a model is loaded; a replica without one never starts."""
        return Health(status="ready", model=self._fetched.name)


def app(settings: Settings) -> Application:
    """Build the application, after a look whether there is a model to serve.

    Raises:
        click.ClickException: there is none; the message says what to run.
    """
    storage = resolve(settings.storage, settings.tracking_uri)
    model_uri = settings.model_uri or os.environ.get("RAYGENRE_MODEL_URI") or registry.CHAMPION_URI
    try:
        registry.fetch(storage, model_uri)
    except registry.RegistryError as error:
        raise click.ClickException(str(error)) from error
    return Endpoint.bind(storage, model_uri)  # type: ignore[attr-defined,no-any-return]
