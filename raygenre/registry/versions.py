"""Registered models: register a classifier as a version, load a version, list versions.

A version's artifact is an MLflow model: the Classifier folder and a pyfunc for MLflow users. `fetch` reads only the
Classifier folder and executes no code from the registry. The facts that the promotion rule needs are stored as tags of
the version.
"""

import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import mlflow
import torch
from mlflow.entities import LoggedModelOutput
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from raygenre.errors import RaygenreError
from raygenre.evaluation.version_facts import VersionFacts
from raygenre.model.classifier import Classifier, ClassifierError
from raygenre.registry.mlflow_model import save_pyfunc
from raygenre.system.storage import Storage
from raygenre.tracking.server import Server, TrackingUnreachableError, is_missing, no_retries, reason

MODEL = "raygenre"
CHAMPION = "champion"
CHAMPION_URI = f"models:/{MODEL}@{CHAMPION}"


class RegistryError(RaygenreError, RuntimeError):
    """A model could not be loaded from the registry, or does not exist."""


class RegistryUnreachableError(RegistryError, TrackingUnreachableError):
    """The registry or its artifact store is unreachable; a retry may succeed."""


@dataclass(frozen=True)
class Fetched:
    """A classifier loaded from the registry or from a folder.

    Attributes:
        name: `raygenre/3` for a version, otherwise the folder's name.
        run_id: id of the MLflow run that trained it; empty for a folder.
        facts: facts recorded about it in the registry; None for a folder or a version registered by hand.
    """

    classifier: Classifier
    name: str
    run_id: str = ""
    facts: VersionFacts | None = None


@dataclass(frozen=True)
class Version:
    """A registered version.

    Attributes:
        aliases: its aliases, such as `champion`.
        facts: None for a version registered by hand.
        registered: time of registration, UTC.
        tags: all of its tags, including those of the promotion decision.
        run_id: id of the MLflow run that trained it; empty if it was registered without a run.
    """

    number: int
    aliases: tuple[str, ...]
    facts: VersionFacts | None
    registered: datetime
    tags: Mapping[str, str]
    run_id: str


def register(storage: Storage, run_id: str, folder: Path, facts: VersionFacts) -> int:
    """Upload a Classifier folder and a pyfunc as an output of a run, register them, and return the new version.

    If these weights were already registered from this run, return their version.
    """
    client = Server(storage).client
    for version in client.search_model_versions(f"name = '{MODEL}' and run_id = '{run_id}'"):
        if version.tags.get("sha256") == facts.sha256:  # the driver died before it saved the version's number
            return int(version.version)
    experiment_id = client.get_run(run_id).info.experiment_id
    # Uses the client because MLflow's fluent API would set the tracking URI of this process and its children.
    model = client.create_logged_model(experiment_id, MODEL, source_run_id=run_id)
    with tempfile.TemporaryDirectory() as scratch:
        save_pyfunc(folder, Path(scratch) / "model")
        client.log_model_artifacts(model.model_id, str(Path(scratch) / "model"))
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    try:
        client.create_registered_model(MODEL, description="Music genre classifiers; see the tags of each version")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    created = client.create_model_version(
        MODEL, model.artifact_location, run_id=run_id, tags=facts.to_tags(), model_id=model.model_id
    )
    return int(created.version)


def current(storage: Storage, uri: str) -> str:
    """Return the name of the model that `fetch` would currently return, without loading it.

    Raises:
        RegistryError: the model does not exist.
        RegistryUnreachableError: the registry is unreachable.
    """
    if not uri.startswith("models:/"):
        return Path(uri).resolve().name
    with no_retries():
        version = _find(Server(storage), storage, uri)
    return f"{version.name}/{version.version}"


def fetch(storage: Storage, uri: str = CHAMPION_URI, *, device: torch.device | None = None) -> Fetched:
    """Load a classifier by `models:/raygenre@ALIAS`, `models:/raygenre/VERSION` or the path of its folder.

    The SHA-256 of the weights must match the version's `sha256` tag.

    Raises:
        RegistryError: the model does not exist, or is damaged.
        RegistryUnreachableError: the registry or its artifact store is unreachable.
    """
    try:
        if not uri.startswith("models:/"):
            return Fetched(Classifier.load(Path(uri), device=device), Path(uri).resolve().name)
        with no_retries():  # to fail within a minute instead of waiting for MLflow's retries
            return _fetch_version(storage, uri, device)
    except ClassifierError as error:
        raise RegistryError(f"{uri} cannot be loaded: {error}") from error


def list_versions(storage: Storage) -> list[Version]:
    """Return the registered versions, newest first."""
    if not storage.has_runs:
        return []
    client = Server(storage).client
    try:
        aliases = client.get_registered_model(MODEL).aliases  # search_model_versions does not return them
    except MlflowException as error:
        if is_missing(error):
            return []
        raise
    page = client.search_model_versions(f"name = '{MODEL}'")
    registered = list(page)
    while page.token:
        page = client.search_model_versions(f"name = '{MODEL}'", page_token=page.token)
        registered += page
    versions = [
        Version(
            int(version.version),
            tuple(sorted(alias for alias, number in aliases.items() if str(number) == str(version.version))),
            facts_of(version),
            datetime.fromtimestamp(version.creation_timestamp / 1000, UTC),
            dict(version.tags),
            version.run_id or "",
        )
        for version in registered
    ]
    return sorted(versions, key=lambda version: -version.number)


def facts_of(version: ModelVersion) -> VersionFacts | None:
    """Read the facts from a version's tags; return None for a version registered by hand."""
    try:
        return VersionFacts.from_tags(version.tags)
    except (KeyError, ValueError):
        return None


def is_unregistered(error: MlflowException) -> bool:
    """Return whether MLflow answered that a version or alias does not exist."""
    return is_missing(error) or error.error_code == "INVALID_PARAMETER_VALUE"  # the code for an unknown alias


def _find(server: Server, storage: Storage, uri: str) -> ModelVersion:
    name, alias, version = _parse(uri)
    missing = (
        f"there is no model {uri} in {storage.server}; train one with `make tune` (experiments/tune.py), "
        "or choose a different registry with --storage or --tracking-uri"
    )
    if not storage.has_runs:
        raise RegistryError(missing)  # checked here because the client would create the missing database
    client = server.client
    try:
        return client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, version)
    except MlflowException as error:
        if is_unregistered(error):
            if (name, alias) == (MODEL, CHAMPION) and _has_versions(server):
                missing = (
                    f"no version of {MODEL} in {storage.server} is the champion; list the versions with "
                    "`raygenre models`, and choose one with `raygenre promote VERSION`"
                )
            raise RegistryError(missing) from error
        raise RegistryUnreachableError(
            f"cannot read the model registry at {storage.server}: {reason(error)}"
        ) from error


def _has_versions(server: Server) -> bool:
    with suppress(MlflowException):  # the caller reports a missing model in any case
        return bool(server.client.search_model_versions(f"name = '{MODEL}'", max_results=1))
    return False


def _fetch_version(storage: Storage, uri: str, device: torch.device | None) -> Fetched:
    server = Server(storage)
    version = _find(server, storage, uri)
    title = f"{version.name} version {version.version}"
    with tempfile.TemporaryDirectory() as scratch:
        try:
            source = server.artifacts(server.client.get_model_version_download_uri(version.name, version.version))
            local = mlflow.artifacts.download_artifacts(
                f"{source}/artifacts", dst_path=scratch, tracking_uri=storage.tracking_uri
            )
            [folder] = Path(local).iterdir()
        except Exception as error:  # object store clients have their own exception classes
            raise RegistryUnreachableError(f"the files of {title} cannot be read: {error}") from error
        classifier = Classifier.load(folder, device=device)
    if "sha256" not in version.tags:
        raise RegistryError(
            f"{title} was registered by hand: it has no sha256 tag, so its weights cannot be verified. "
            "Register models with `make tune`"
        )
    if classifier.sha256 != version.tags["sha256"]:
        raise RegistryError(
            f"the weights of {title} are not the registered ones: their SHA-256 is {classifier.sha256}, "
            f"not {version.tags['sha256']}"
        )
    return Fetched(classifier, f"{version.name}/{version.version}", version.run_id or "", facts_of(version))


def _parse(uri: str) -> tuple[str, str, str]:
    """Split `models:/name@alias` or `models:/name/version` into name, alias or "", and version or ""."""
    rest = uri.removeprefix("models:/")
    name, at, alias = rest.partition("@")
    if at and name and alias:
        return name, alias, ""
    name, slash, version = rest.partition("/")
    if slash and name and version.isdigit():
        return name, "", version
    raise RegistryError(f"{uri} is not a model URI; expected models:/NAME@ALIAS, models:/NAME/VERSION or a folder")
