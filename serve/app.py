"""The endpoint as a Ray Serve application: one deployment that reads, decodes, batches and answers.

Run, from the project's folder:
    make serve                               # or: serve run --address local serve.app:app
    curl --data-binary @song.mp3 localhost:8000/v1/predict

It answers with the champion of the registry, or with the model that `RAYGENRE_MODEL_URI` names. Storage and tracking
server are found as by every command: `RAYGENRE_STORAGE`, `MLFLOW_TRACKING_URI`, or ./results. `serve/settings.py` has
all that can be set.
"""

import asyncio
import sys

import click
from fastapi import FastAPI
from pydantic import SecretStr
from ray import serve
from ray.serve import Application
from ray.serve.config import AutoscalingConfig, BackpressureConfig
from ray.serve.schema import LoggingConfig

from raygenre.registry import versions
from raygenre.system.storage import resolve
from serve.admission.api_keys import KeyProblemError, Keys, check_exposure
from serve.monitoring import logs
from serve.network import direct_port as direct
from serve.network import listen_host, proxy_environment
from serve.service import Service
from serve.settings import Settings
from serve.web.routes import build

MARGIN = 32  # requests in a replica beside the predictions: 24 bodies still coming in, probes, pages and refusals
QUEUED = 16  # requests that wait in a proxy for a place in a replica


@serve.deployment(name="endpoint")
@serve.ingress()
class Endpoint:
    """One replica, with models of its own."""

    def __init__(self, settings: Settings, keys: Keys) -> None:
        logs.begin()
        # The network's thread asks for the interpreter after every layer: it should not wait 5 ms each time.
        sys.setswitchinterval(0.0005)
        self._settings, self._keys = settings, keys

    async def __serve_build_asgi_app__(self) -> FastAPI:
        """Load the models and return what answers; Ray Serve calls it once, after the constructor."""
        host = listen_host.host()
        service = await asyncio.to_thread(self._start, host)
        port = self._settings.direct_port
        return build(service, direct.listener(host or "127.0.0.1", port) if port else None)

    def _start(self, host: str) -> Service:
        check_exposure(host, self._keys, insecure=self._settings.insecure)
        service = Service(self._settings, self._keys)
        service.watch()
        name = service.models.champion.fetched.name
        logs.info("replica ready", model=name, keys=len(self._keys.hashes))
        return service


def app(settings: Settings) -> Application:
    """Build the application, after a look whether there is a model to serve.

    Raises:
        click.ClickException: there is none, or the settings do not go together; the message says what to do.
    """
    proxy_environment.set_defaults()
    storage = resolve(settings.storage, settings.tracking_uri)
    try:
        keys = Keys.of(settings)
        if host := listen_host.host():
            check_exposure(host, keys, insecure=settings.insecure)
        versions.current(storage, settings.model_uri)
    except (versions.RegistryError, KeyProblemError) as error:
        raise click.ClickException(str(error)) from error
    # Settings travel to the replicas, whose environment may be another; the keys themselves do not.
    kept = settings.model_copy(
        update={"api_keys": SecretStr(""), "storage": str(storage), "tracking_uri": storage.tracking_uri}
        | ({"api_keys_file": settings.api_keys_file.resolve()} if settings.api_keys_file else {})
    )
    return Endpoint.options(  # type: ignore[attr-defined,no-any-return]
        max_ongoing_requests=settings.queue_length + MARGIN,
        max_queued_requests=QUEUED,
        backpressure_config=BackpressureConfig(status_code=429, retry_after_s=settings.retry_after),
        autoscaling_config=AutoscalingConfig(
            # Serve cannot tell how much there is to do where it is not asked.
            min_replicas=settings.max_replicas if settings.direct_port else settings.min_replicas,
            max_replicas=settings.max_replicas,
            target_ongoing_requests=settings.threads * settings.batch,
        ),
        logging_config=LoggingConfig(
            encoding="JSON", enable_access_log=False
        ),  # logs.py writes a line a request, with more in it
        max_surge_percent=25,
        health_check_period_s=2,
        health_check_timeout_s=10,
        ray_actor_options={"num_cpus": settings.replica_cpus, "num_gpus": settings.replica_gpus},
    ).bind(kept, keys)
