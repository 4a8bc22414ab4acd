"""Find registered versions, in the embedded database or with MLflow's client.

Importing MLflow takes several seconds, so it is imported only in the functions that use the client.
"""

from contextlib import suppress
from typing import TYPE_CHECKING

from raygenre.errors import RaygenreError
from raygenre.registry import embedded
from raygenre.registry.embedded import RegisteredVersion
from raygenre.tracking.retries import TrackingUnreachableError
from raygenre.tracking.server import Server

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.exceptions import MlflowException


CHAMPION = "champion"
"""The alias of the version that is served."""


class RegistryError(RaygenreError, RuntimeError):
    """A model could not be loaded from the registry, or does not exist."""


class NoModelError(RegistryError):
    """The registry does not contain the model, or no version of it is the champion."""


class RegistryUnreachableError(RegistryError, TrackingUnreachableError):
    """The registry or its artifact store is unreachable; a retry may succeed."""


def find(server: Server, uri: str) -> RegisteredVersion:
    """Return the version that `models:/NAME@ALIAS` or `models:/NAME/VERSION` refers to.

    Raises:
        RegistryError: the version or alias does not exist, or the URI is invalid.
        RegistryUnreachableError: the registry is unreachable.
    """
    name, alias, number = _parse(uri)
    missing = NoModelError(
        f"there is no model {uri} in {server.address}; train one with `make tune` (experiments/tune.py), "
        "or choose a different registry with --storage or --tracking-uri"
    )
    if not server.storage.has_runs:
        raise missing  # checked here because the client would create the missing database
    registered = embedded.read_versions(server.storage, name)
    if registered is None or alias.lower() == "latest":  # MLflow resolves this alias by its own rule
        found = _find_with_client(server, uri)
    else:
        matches = (version for version in registered if alias in version.aliases or str(version.number) == number)
        found = next(matches, None)
    if found is None:
        if alias == CHAMPION and (_has_versions(server, name) if registered is None else registered):
            raise NoModelError(
                f"no version of {name} in {server.address} is the champion; list the versions with `raygenre models`, "
                "and choose one with `raygenre promote VERSION`"
            )
        raise missing
    return found


def list_all(server: Server, name: str) -> list[RegisteredVersion]:
    """Return all versions of a model, in any order.

    Raises:
        MlflowException: the registry is unreachable.
    """
    if not server.storage.has_runs:
        return []
    registered = embedded.read_versions(server.storage, name)
    return _list_with_client(server, name) if registered is None else registered


def _find_with_client(server: Server, uri: str) -> RegisteredVersion | None:
    from mlflow.exceptions import MlflowException

    from raygenre.tracking.server_errors import reason

    name, alias, number = _parse(uri)
    client = server.client
    try:
        version = client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, number)
    except MlflowException as error:
        if is_unregistered(error):
            return None
        raise RegistryUnreachableError(
            f"cannot read the model registry at {server.address}: {reason(error)}"
        ) from error
    return _registered(version, ())


def _has_versions(server: Server, name: str) -> bool:
    from mlflow.exceptions import MlflowException

    with suppress(MlflowException):  # the caller reports a missing model anyway
        return bool(server.client.search_model_versions(f"name = '{name}'", max_results=1))
    return False


def _list_with_client(server: Server, name: str) -> list[RegisteredVersion]:
    from mlflow.exceptions import MlflowException

    from raygenre.tracking.server_errors import is_missing

    client = server.client
    try:
        numbers = client.get_registered_model(name).aliases  # search_model_versions does not return aliases
    except MlflowException as error:
        if is_missing(error):
            return []
        raise
    page = client.search_model_versions(f"name = '{name}'")
    found = list(page)
    while page.token:
        page = client.search_model_versions(f"name = '{name}'", page_token=page.token)
        found += page
    aliases: dict[str, list[str]] = {}
    for alias, number in sorted(numbers.items()):
        aliases.setdefault(str(number), []).append(alias)
    return [_registered(version, tuple(aliases.get(str(version.version), ()))) for version in found]


def _registered(version: "ModelVersion", aliases: tuple[str, ...]) -> RegisteredVersion:
    number, created = int(version.version), int(version.creation_timestamp)
    return RegisteredVersion(version.name, number, created, "", version.run_id or "", dict(version.tags), aliases)


def is_unregistered(error: "MlflowException") -> bool:
    """Return whether MLflow responded that a version or alias does not exist."""
    from raygenre.tracking.server_errors import is_missing

    return is_missing(error) or error.error_code == "INVALID_PARAMETER_VALUE"  # the code for an unknown alias


def _parse(uri: str) -> tuple[str, str, str]:
    """Split `models:/name@alias` or `models:/name/version` into name, alias or "", and version or ""."""
    rest = uri.removeprefix("models:/")
    name, at, alias = rest.partition("@")
    if at and name and alias:
        return name, alias, ""
    name, slash, version = rest.partition("/")
    if slash and name and version.isdecimal():
        return name, "", str(int(version))
    raise RegistryError(f"{uri} is not a model URI; expected models:/NAME@ALIAS, models:/NAME/VERSION or a folder")
