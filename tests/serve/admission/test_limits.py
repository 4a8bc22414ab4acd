"""The limits in replicas, Ray's proxies and deployment options are all derived from the settings."""

import asyncio
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.types import Message, Receive, Scope, Send

from serve.admission.bodies import BodyStore
from serve.admission.limits import Limits
from serve.admission.prediction_slots import PredictionSlots
from serve.admission.upload_slots import UploadSlots
from serve.app import app
from serve.errors import RefusalError
from serve.inference.decoder_pool import DecoderPool
from serve.inference.decoder_process import CrashError, DecoderProcess
from serve.monitoring.metrics import Metrics
from serve.network.proxy_middleware import middlewares
from serve.settings import Settings

RETRY_AFTER = 7  # s
LIMITS = Limits.of(Settings(retry_after=RETRY_AFTER))
RAISED_WITH_THE_QUEUE = {"predictions", "replica_requests", "proxy_requests"}
AUDIO = b"fLaC"


class FakeMetrics:
    """Metrics without Ray; every method does nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


METRICS = cast(Metrics, FakeMetrics())


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `app` modify only a copy of the environment, and give the registry a champion."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr("serve.app.check_model", lambda *_: True)


def deployment(settings: Settings) -> Any:
    """The configuration that Ray Serve receives for the endpoint."""
    return app(settings)._bound_deployment._deployment_config


def proxy_response(method: str, app: Callable[..., Any]) -> Message:
    """Return the first message of the response from an application behind the middleware of Ray's proxies."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    middleware, _ = middlewares()
    wrapped = middleware.cls(app, *middleware.args, **middleware.kwargs)

    async def request() -> None:
        await wrapped({"type": "http", "method": method, "path": "/v1/predict", "headers": []}, receive, send)

    asyncio.run(request())
    return sent[0]


def test_the_queue_length_raises_everything_in_front_of_it() -> None:
    default, longer = (asdict(Limits.of(Settings(queue_length=length))) for length in (32, 132))
    assert {name for name in default if default[name] != longer[name]} == RAISED_WITH_THE_QUEUE
    for name in RAISED_WITH_THE_QUEUE:
        assert longer[name] == default[name] + 100


@pytest.mark.parametrize("queue_length", [1, 32, 500])
def test_no_limit_in_front_of_the_queue_is_below_it(queue_length: int) -> None:
    limits = Limits.of(Settings(queue_length=queue_length))
    assert limits.replica_requests > limits.predictions + limits.uploads
    assert limits.proxy_requests > limits.replica_requests + limits.proxy_queue


def test_the_default_limits() -> None:
    limits = Limits.of(Settings())
    assert (limits.predictions, limits.uploads, limits.replica_requests) == (32, 24, 64)
    assert (limits.proxy_queue, limits.proxy_requests, limits.retry_after) == (32, 112, 2)


@pytest.mark.usefixtures("environment")
def test_the_deployment_takes_its_options_from_the_limits(tmp_path: Path) -> None:
    settings = Settings(storage=str(tmp_path), queue_length=132, retry_after=RETRY_AFTER)
    limits, config = Limits.of(settings), deployment(settings)
    assert config.max_ongoing_requests == limits.replica_requests == 164
    assert config.max_queued_requests == limits.proxy_queue
    assert config.backpressure_config.retry_after_s == RETRY_AFTER


@pytest.mark.usefixtures("environment")
def test_proxies_get_the_limits_of_the_application(tmp_path: Path) -> None:
    settings = Settings(storage=str(tmp_path), queue_length=132, retry_after=RETRY_AFTER)
    app(settings)
    middleware, _ = middlewares()
    limits = cast(Limits, middleware.kwargs["limits"])
    assert (limits.proxy_requests, limits.retry_after) == (Limits.of(settings).proxy_requests, RETRY_AFTER)


def test_refusals_in_a_replica_have_the_configured_retry_after() -> None:
    predictions, bodies = PredictionSlots(replace(LIMITS, predictions=1), METRICS), BodyStore(LIMITS)
    refusals: list[RefusalError] = []
    with predictions.slot(), pytest.raises(RefusalError) as too_many:
        predictions.check()
    with bodies.reservation() as reservation, pytest.raises(RefusalError) as no_memory:
        reservation.add(memory=LIMITS.memory_bytes + 1)
    refusals += [too_many.value, no_memory.value, asyncio.run(replaced_upload())]
    assert [refusal.status for refusal in refusals] == [429, 503, 429]
    assert {refusal.headers["Retry-After"] for refusal in refusals} == {str(RETRY_AFTER)}


async def replaced_upload() -> RefusalError:
    """Return the refusal of an upload whose slot was given to another upload."""
    uploads = UploadSlots(replace(LIMITS, uploads=1))
    try:
        async with uploads.slot(), uploads.slot():
            await asyncio.sleep(60)
    except RefusalError as refusal:
        return refusal
    raise AssertionError("both uploads were accepted")


@pytest.mark.parametrize("error", [CrashError("SIGKILL"), OSError("no memory")])
def test_refusals_of_the_decoders_have_the_same_retry_after(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(DecoderProcess, "decode", fail)
    with ExitStack() as stack:
        decoders = DecoderPool(1, METRICS, LIMITS)
        stack.callback(decoders.close)
        with pytest.raises(RefusalError) as refusal:
            asyncio.run(decoders.song(AUDIO))
    assert (refusal.value.status, refusal.value.headers) == (503, {"Retry-After": str(RETRY_AFTER)})


@pytest.mark.parametrize("status", [408, 429, 503, None])
def test_refusals_in_proxies_have_the_same_retry_after(status: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYGENRE_RETRY_AFTER", str(RETRY_AFTER))

    async def ray(scope: Scope, receive: Receive, send: Send) -> None:
        if status:
            headers = [(b"content-type", b"text/plain")]
            await send({"type": "http.response.start", "status": status, "headers": headers})

    assert dict(proxy_response("GET", ray)["headers"])[b"retry-after"] == str(RETRY_AFTER).encode()


def test_a_full_proxy_names_the_retry_after_of_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYGENRE_RETRY_AFTER", str(RETRY_AFTER))
    monkeypatch.setattr("serve.admission.proxy_slots.ProxySlots.is_full", True)

    async def ray(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("a refused request was passed on")

    start = proxy_response("POST", ray)
    assert (start["status"], dict(start["headers"])[b"retry-after"]) == (429, str(RETRY_AFTER).encode())
