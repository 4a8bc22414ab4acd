"""Quick checks before the endpoint is started; imports neither Ray nor torch."""

import os

from pydantic import ValidationError

from raygenre.errors import RaygenreError
from raygenre.registry import versions
from raygenre.system.ports import check_port
from raygenre.system.storage import resolve
from serve.admission.api_keys import Keys, check_exposure
from serve.settings import PREFIX, Settings


class EndpointError(RaygenreError, RuntimeError):
    """The endpoint cannot be started; the message says why and what to change."""


def read_settings(**overrides: str | None) -> Settings:
    """Return the settings from the environment.

    Args:
        overrides: values of fields that override the environment, unless they are None.

    Raises:
        EndpointError: a setting is invalid.
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        reasons = (f"{PREFIX}{'_'.join(map(str, each['loc'])).upper()}: {each['msg']}" for each in error.errors())
        raise EndpointError(f"invalid settings: {'; '.join(reasons)} (see serve/README.md)") from error


def check(settings: Settings, host: str, port: int) -> None:
    """Check that the endpoint can be started: keys, port and model.

    Raises:
        ApiKeyError: the keys are unusable, or other machines could use the endpoint without a key.
        RegistryError: there is no model to serve.
        PortError: a port is in use, or the host is not this machine.
    """
    haproxy = os.environ.get("RAY_SERVE_ENABLE_HA_PROXY", "0") == "1"  # it listens on all addresses
    check_exposure("0.0.0.0" if haproxy else host, Keys.of(settings), insecure=settings.insecure)
    check_port(host, port)
    if settings.direct_port:
        check_port(host, settings.direct_port, f"choose another with {PREFIX}DIRECT_PORT")
    versions.current(resolve(settings.storage, settings.tracking_uri), settings.model_uri)
