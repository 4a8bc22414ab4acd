"""Quick checks before the endpoint is started, without importing Ray or torch."""

import os

from pydantic import ValidationError

from raygenre.errors import RaygenreError
from raygenre.pretrained import store
from raygenre.registry import versions
from raygenre.registry.versions import NoModelError
from raygenre.system.ports import check_port
from raygenre.system.storage import resolve
from raygenre.tracking.server import Server
from serve.admission.api_keys import Keys, check_exposure
from serve.network import proxy_environment
from serve.settings import PREFIX, Settings


class EndpointError(RaygenreError, RuntimeError):
    """The endpoint cannot be started; the message states the reason and what to change."""


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


def check(settings: Settings, host: str, port: int) -> bool:
    """Check that the keys, the port and the model allow the endpoint to be started.

    Returns:
        The result of `check_model`.

    Raises:
        ApiKeyError: the keys are unusable, or other machines could use the endpoint without a key.
        RegistryError: neither a model nor the pretrained network is available, or the registry is unreachable.
        PortError: a port is in use, or the host is not an address of this machine.
    """
    is_open = proxy_environment.opens_all_addresses(proxy_environment.DEFAULTS | proxy_environment.MACHINE | os.environ)
    check_exposure("0.0.0.0" if is_open else host, Keys.of(settings), insecure=settings.insecure)
    check_port(host, port)
    return check_model(Server(resolve(settings.storage, settings.tracking_uri)), settings)


def check_model(server: Server, settings: Settings) -> bool:
    """Check that a model or the pretrained network can be served.

    Returns:
        True if a model is available; False if only the pretrained network is available, which predicts tags until the
        registry has a champion.

    Raises:
        RegistryError: neither a model nor the network is available, or the registry is unreachable.
    """
    try:
        versions.current(server, settings.model_uri)
    except NoModelError as error:
        if settings.model_uri != versions.CHAMPION_URI:
            raise
        if not store.is_installed(settings.pretrained_folder):
            raise NoModelError(f"{error}; {store.OFFER}") from error
        return False
    return True
