"""Registered models: register a classifier as a version, load a version, list versions.

A version's artifact is an MLflow model: the Classifier folder and a pyfunc for MLflow users. `fetch` reads only the
Classifier folder and executes no code from the registry. The facts that the promotion rule needs are stored as tags of
the version.

Importing MLflow and torch takes several seconds, so each function imports only what it needs.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from raygenre.errors import file_errors
from raygenre.evaluation.version_facts import VersionFacts
from raygenre.registry import embedded
from raygenre.registry.embedded import RegisteredVersion
from raygenre.registry.lookup import CHAMPION as CHAMPION
from raygenre.registry.lookup import NoModelError as NoModelError
from raygenre.registry.lookup import RegistryError as RegistryError
from raygenre.registry.lookup import RegistryUnreachableError as RegistryUnreachableError
from raygenre.registry.lookup import find, list_all
from raygenre.tracking.retries import no_retries
from raygenre.tracking.server import Server

if TYPE_CHECKING:
    import torch

    from raygenre.model.classifier import Classifier

MODEL = "raygenre"
CHAMPION_URI = f"models:/{MODEL}@{CHAMPION}"


@dataclass(frozen=True)
class Fetched:
    """A classifier loaded from the registry or from a folder.

    Attributes:
        name: `raygenre/3` for a version, otherwise the folder's name.
        run_id: id of the MLflow run that trained the classifier; empty for a folder.
        facts: facts recorded about the version in the registry; None for a folder or a version registered by hand.
    """

    classifier: "Classifier"
    name: str
    run_id: str = ""
    facts: VersionFacts | None = None


@dataclass(frozen=True)
class Version:
    """A registered version.

    Attributes:
        aliases: the version's aliases, such as `champion`.
        facts: facts recorded about the version; None if it was registered by hand.
        registered: time of registration, in UTC.
        tags: all of the version's tags, including those that record the promotion decision.
        run_id: id of the MLflow run that trained the version; empty if it was registered without a run.
    """

    number: int
    aliases: tuple[str, ...]
    facts: VersionFacts | None
    registered: datetime
    tags: Mapping[str, str]
    run_id: str


def register(server: Server, run_id: str, folder: Path, facts: VersionFacts) -> int:
    """Upload a Classifier folder and a pyfunc as an output of a run, register them, and return the version's number.

    If this classifier was already registered from this run, return the existing version's number.
    """
    from mlflow.entities import LoggedModelOutput
    from mlflow.exceptions import MlflowException

    from raygenre.registry.mlflow_model import save_pyfunc

    client = server.client
    for version in client.search_model_versions(f"name = '{MODEL}' and run_id = '{run_id}'"):
        if version.tags.get("sha256") == facts.sha256:  # the driver died before it saved the version's number
            return int(version.version)
    experiment_id = client.get_run(run_id).info.experiment_id
    # The client is used because MLflow's fluent API would set the tracking URI of this process and its children.
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


def current(server: Server, uri: str) -> str:
    """Return the name of the model that `fetch` would currently return, without loading it.

    Raises:
        RegistryError: the model does not exist.
        RegistryUnreachableError: the registry is unreachable.
    """
    if not uri.startswith("models:/"):
        return Path(uri).resolve().name
    with no_retries():
        version = find(server, uri)
    return f"{version.name}/{version.number}"


def fetch(server: Server, uri: str = CHAMPION_URI, *, device: "torch.device | None" = None) -> Fetched:
    """Load a classifier by `models:/raygenre@ALIAS`, `models:/raygenre/VERSION` or the path of its folder.

    The classifier's checksum must match the version's `sha256` tag.

    Raises:
        RegistryError: the model does not exist, or is damaged.
        RegistryUnreachableError: the registry or its artifact store is unreachable.
    """
    if not uri.startswith("models:/"):
        with file_errors(f"{uri} cannot be loaded"):
            if not Path(uri).is_dir():  # checked here because importing torch takes seconds
                raise RegistryError(
                    f"{uri} cannot be loaded: there is no such folder; choose models:/NAME@ALIAS, models:/NAME/VERSION "
                    "or a classifier's folder"
                )
        with _classifier_errors(uri):
            from raygenre.model.classifier import Classifier

            return Fetched(Classifier.load(Path(uri), device=device), Path(uri).resolve().name)
    with no_retries():  # to fail within a minute instead of waiting for MLflow's retries
        version = find(server, uri)
        with _classifier_errors(uri):
            return _load(server, version, device)


def list_versions(server: Server) -> list[Version]:
    """Return the registered versions, newest first."""
    versions = [
        Version(
            version.number,
            version.aliases,
            facts_of(version),
            datetime.fromtimestamp(version.created / 1000, UTC),
            dict(version.tags),
            version.run_id,
        )
        for version in list_all(server, MODEL)
    ]
    return sorted(versions, key=lambda version: -version.number)


class _Tagged(Protocol):
    @property
    def tags(self) -> Mapping[str, str]: ...


def facts_of(version: _Tagged) -> VersionFacts | None:
    """Read the facts from a version's tags; return None for a version registered by hand."""
    try:
        return VersionFacts.from_tags(version.tags)
    except (KeyError, ValueError):
        return None


def _load(server: Server, version: RegisteredVersion, device: "torch.device | None") -> Fetched:
    title = f"{version.name} version {version.number}"
    with tempfile.TemporaryDirectory() as scratch:
        try:
            local = embedded.artifact_folder(server.storage, version)
            [folder] = (local / "artifacts" if local else _download(server, version, scratch)).iterdir()
        except Exception as error:  # object store clients have their own exception classes
            raise RegistryUnreachableError(f"the files of {title} cannot be read: {error}") from error
        return load_version(version, folder, device=device)


def load_version(version: RegisteredVersion, folder: Path, *, device: "torch.device | None" = None) -> Fetched:
    """Load a registered version from its Classifier folder.

    Raises:
        ClassifierError: the folder contains no classifier that can be loaded.
        RegistryError: the classifier's checksum differs from the registered one, or no checksum was registered.
    """
    from raygenre.model.classifier import Classifier

    title = f"{version.name} version {version.number}"
    classifier = Classifier.load(folder, device=device)
    if "sha256" not in version.tags:
        raise RegistryError(
            f"{title} was registered by hand: it has no sha256 tag, so its files cannot be verified. "
            "Register models with `make tune`"
        )
    if classifier.sha256 != version.tags["sha256"]:
        raise RegistryError(
            f"the weights, genres or calibration of {title} are not the registered ones: their SHA-256 is "
            f"{classifier.sha256}, not {version.tags['sha256']}"
        )
    return Fetched(classifier, f"{version.name}/{version.number}", version.run_id, facts_of(version))


def _download(server: Server, version: RegisteredVersion, folder: str) -> Path:
    import mlflow

    source = server.artifacts(server.client.get_model_version_download_uri(version.name, str(version.number)))
    return Path(mlflow.artifacts.download_artifacts(f"{source}/artifacts", dst_path=folder, tracking_uri=server.uri))


@contextmanager
def _classifier_errors(uri: str) -> Iterator[None]:
    from raygenre.model.classifier import ClassifierError

    try:
        yield
    except ClassifierError as error:
        raise RegistryError(f"{uri} cannot be loaded: {error}") from error
