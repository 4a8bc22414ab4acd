"""The endpoint as a Ray Serve application with one deployment.

Run, from the project's folder:
    make serve                               # or: raygenre serve
    curl --data-binary @song.mp3 localhost:8000/v1/predict

The endpoint serves the registry's champion, or the model in `RAYGENRE_MODEL_URI`. As with all commands,
`RAYGENRE_STORAGE` and `MLFLOW_TRACKING_URI` set the storage and the tracking server, which default to ./results. The
settings are defined in `serve/settings.py`, except for the limits, which are defined in `serve/admission/limits.py`.
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

from raygenre.errors import RaygenreError
from raygenre.pretrained import store
from raygenre.system.storage import resolve
from raygenre.tracking.server import Server
from serve.admission.api_keys import Keys, check_exposure
from serve.admission.limits import Limits
from serve.jobs.database import database_url
from serve.jobs.store import JobStore
from serve.monitoring import logs
from serve.network import listen_host, proxy_environment
from serve.preflight import check_model
from serve.service import Service
from serve.settings import Settings
from serve.web.routes import build


@serve.deployment(name="endpoint")
@serve.ingress()
class Endpoint:
    """One replica, with its own copy of the models."""

    def __init__(self, settings: Settings, keys: Keys) -> None:
        logs.configure()
        # The network's thread needs the GIL after every layer. With Python's default switch interval, each wait could
        # take 5 ms.
        sys.setswitchinterval(0.0005)
        self._settings, self._keys = settings, keys

    async def __serve_build_asgi_app__(self) -> FastAPI:
        """Load the models and return the web application; Ray Serve calls this once, after the constructor."""
        return build(await asyncio.to_thread(self._start))

    def _start(self) -> Service:
        check_exposure(listen_host.host(), self._keys, insecure=self._settings.insecure)
        service = Service(self._settings, self._keys)
        service.watch()
        name = service.models.champion.fetched.name if service.models.has_champion else None
        logs.info("replica ready", model=name, keys=len(self._keys.hashes))
        return service


def app(settings: Settings) -> Application:
    """Build the application for Ray Serve's own commands, such as `serve run serve.app:app`.

    Raises:
        click.ClickException: no model is available, or the API keys are unusable; the message explains how to fix the
        problem.
    """
    try:
        return build_application(settings)
    except RaygenreError as error:
        raise click.ClickException(str(error)) from error


def build_application(settings: Settings) -> Application:
    """Build the application after checking that a model or the pretrained network can be served.

    Raises:
        RegistryError: no model is available, or the registry is unreachable.
        ApiKeyError: the API keys are unusable, or other machines could use the endpoint without a key.
        JobStoreError: the URL of the jobs database is malformed, or the database's driver is not installed.
    """
    proxy_environment.set_defaults()
    proxy_environment.pass_limits(settings)
    storage = resolve(settings.storage, settings.tracking_uri)
    keys = Keys.of(settings)
    if host := listen_host.host():
        check_exposure(host, keys, insecure=settings.insecure)
    check_model(Server(storage), settings)
    if settings.jobs:
        JobStore(database_url(settings), keep_seconds=settings.keep_jobs_seconds).close()  # checks the URL
    # Replicas may have a different environment, so they receive the settings, but only hashes of the API keys.
    replica_settings = settings.model_copy(
        update={"api_keys": SecretStr(""), "storage": str(storage), "tracking_uri": storage.tracking_uri}
        | {"pretrained_folder": (settings.pretrained_folder or store.default_folder()).absolute()}
        | ({"api_keys_file": settings.api_keys_file.resolve()} if settings.api_keys_file else {})
    )
    limits = Limits.of(settings)
    return Endpoint.options(  # type: ignore[attr-defined,no-any-return]
        max_ongoing_requests=limits.replica_requests,
        max_queued_requests=limits.proxy_queue,
        backpressure_config=BackpressureConfig(status_code=429, retry_after_s=limits.retry_after),
        autoscaling_config=AutoscalingConfig(
            min_replicas=settings.min_replicas,
            max_replicas=settings.max_replicas,
            target_ongoing_requests=settings.threads * settings.batch,
        ),
        logging_config=LoggingConfig(
            encoding="JSON", enable_access_log=False, log_level="WARNING"
        ),  # web/request_log.py already logs one line per request, with more fields
        max_surge_percent=25,
        health_check_period_s=2,
        health_check_timeout_s=10,
        ray_actor_options={"num_cpus": settings.replica_cpus, "num_gpus": settings.replica_gpus},
    ).bind(replica_settings, keys)
