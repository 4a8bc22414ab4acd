"""Registered models: a candidate becomes a version of `raygenre`; `alias` says which of them is the champion.

A version's artifact is the Classifier folder, with a pyfunc over it for MLflow users. `fetch` reads the folder's
files alone and runs no code from the registry. What decides about the champion stands in the version's tags.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import mlflow
import torch
from mlflow.entities import LoggedModelOutput
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from raygenre.errors import RaygenreError
from raygenre.evaluation.version_facts import VersionFacts
from raygenre.model.classifier import Classifier, ClassifierError
from raygenre.registry.mlflow_model import save_pyfunc
from raygenre.system.storage import Storage
from raygenre.tracking.server import Server, no_retries, quiet_mlflow, reason

MODEL = "raygenre"
CHAMPION = "champion"
CHAMPION_URI = f"models:/{MODEL}@{CHAMPION}"


class RegistryError(RaygenreError, RuntimeError):
    """A model cannot be had from the registry; the message says what to run."""


class AwayError(RegistryError):
    """The registry or the store of its files does not answer, which may pass."""


@dataclass(frozen=True)
class Fetched:
    """A classifier out of the registry, or from a folder.

    Attributes:
        name: what it answers by, `raygenre/3`, or the folder's name.
        run_id: MLflow run that made it; empty for a folder.
        evidence: what the registry knows of it; None for a folder and for a version registered by hand.
    """

    classifier: Classifier
    name: str
    run_id: str = ""
    evidence: VersionFacts | None = None


def register(storage: Storage, run_id: str, folder: Path, evidence: VersionFacts) -> int:
    """Store the Classifier folder with its pyfunc as an output of the run, register it, and return its version."""
    client = _client(storage)
    for known in client.search_model_versions(f"name = '{MODEL}' and run_id = '{run_id}'"):
        if known.tags.get("sha256") == evidence.sha256:  # a driver died before it could write the version down
            return int(known.version)
    experiment_id = client.get_run(run_id).info.experiment_id
    # Through the client alone: MLflow's fluent calls would set its address for the whole process and its children.
    model = client.create_logged_model(experiment_id, MODEL, source_run_id=run_id)
    with tempfile.TemporaryDirectory() as scratch:
        save_pyfunc(folder, Path(scratch) / "model")
        client.log_model_artifacts(model.model_id, str(Path(scratch) / "model"))
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    try:
        client.create_registered_model(MODEL, description="Music genre classifiers, see the tags of each version")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    created = client.create_model_version(
        MODEL, model.artifact_location, run_id=run_id, tags=evidence.to_tags(), model_id=model.model_id
    )
    return int(created.version)


def current(storage: Storage, uri: str) -> str:
    """Return the name that `fetch` would give now, without loading anything.

    Raises:
        RegistryError: there is no such model.
        AwayError: the registry does not answer.
    """
    if not uri.startswith("models:/"):
        return Path(uri).resolve().name
    with no_retries():
        found = _find(storage, uri)
    return f"{found.name}/{found.version}"


def fetch(storage: Storage, uri: str = CHAMPION_URI, *, device: torch.device | None = None) -> Fetched:
    """Load a classifier by `models:/raygenre@ALIAS`, `models:/raygenre/VERSION` or the path of its folder.

    The weights must have the SHA-256 that the registry has recorded.

    Raises:
        RegistryError: there is no such model, or it is not whole.
        AwayError: the registry does not answer, or its store does not give the files.
    """
    try:
        if not uri.startswith("models:/"):
            return Fetched(Classifier.load(Path(uri), device=device), Path(uri).resolve().name)
        with no_retries():  # whoever waits for an answer should hear within a minute that there is none
            return _fetch_version(storage, uri, device)
    except ClassifierError as error:
        raise RegistryError(f"{uri} cannot be loaded: {error}") from error


def _find(storage: Storage, uri: str) -> ModelVersion:
    name, alias, version = _parse(uri)
    missing = (
        f"there is no model {uri} in {storage.server}; train one with `make tune` (experiments/tune.py), "
        "or name another storage or tracking server"
    )
    if not storage.has_runs:
        raise RegistryError(missing)  # before MLflow makes a database to look in
    client = _client(storage)
    try:
        return client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, version)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise RegistryError(missing) from error
        raise AwayError(f"the registry at {storage.server} does not answer: {reason(error)}") from error


def _fetch_version(storage: Storage, uri: str, device: torch.device | None) -> Fetched:
    found = _find(storage, uri)
    name = found.name
    with tempfile.TemporaryDirectory() as scratch:
        try:
            source = _client(storage).get_model_version_download_uri(name, found.version)
            local = mlflow.artifacts.download_artifacts(
                f"{source}/artifacts", dst_path=scratch, tracking_uri=storage.tracking_uri
            )
            [folder] = Path(local).iterdir()
        except Exception as error:  # a bucket's own client raises what it likes
            raise AwayError(f"the files of {name} version {found.version} cannot be read: {error}") from error
        classifier = Classifier.load(folder, device=device)
    if "sha256" not in found.tags:
        raise RegistryError(
            f"{name} version {found.version} was registered by hand: it has no tag sha256 to hold it to"
        )
    if classifier.sha256 != found.tags["sha256"]:
        raise RegistryError(f"the weights of {name} version {found.version} are not those that were registered")
    return Fetched(classifier, f"{name}/{found.version}", found.run_id or "", facts_of(found))


def facts_of(found: ModelVersion) -> VersionFacts | None:
    """What a version's tags say; None for a version registered by hand."""
    try:
        return VersionFacts.from_tags(found.tags)
    except (KeyError, ValueError):
        return None


def _parse(uri: str) -> tuple[str, str, str]:
    """`models:/name@alias` or `models:/name/version` → name, alias or "", version or ""."""
    rest = uri.removeprefix("models:/")
    name, at, alias = rest.partition("@")
    if at and name and alias:
        return name, alias, ""
    name, slash, version = rest.partition("/")
    if slash and name and version.isdigit():
        return name, "", version
    raise RegistryError(f"{uri} is not a model; expected models:/NAME@ALIAS, models:/NAME/VERSION or a folder")


def _client(storage: Storage) -> MlflowClient:
    quiet_mlflow()
    return MlflowClient(storage.tracking_uri, registry_uri=storage.tracking_uri)


@dataclass(frozen=True)
class Version:
    """A registered version.

    Attributes:
        aliases: that it has, such as `champion`.
        evidence: None for a version registered by hand.
        registered: when, UTC.
        tags: all, among them those of the decision about it.
        run_id: MLflow run that made it; empty if MLflow was not told.
    """

    number: int
    aliases: tuple[str, ...]
    evidence: VersionFacts | None
    registered: datetime
    tags: Mapping[str, str]
    run_id: str


def list_versions(storage: Storage) -> list[Version]:
    """List the registered versions, the newest first."""
    if not storage.has_runs:
        return []
    client = Server(storage).client
    try:
        aliases = client.get_registered_model(MODEL).aliases  # which the versions of a search lack
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return []
        raise
    page = client.search_model_versions(f"name = '{MODEL}'")
    found = list(page)
    while page.token:
        page = client.search_model_versions(f"name = '{MODEL}'", page_token=page.token)
        found += page
    listed = [
        Version(
            int(version.version),
            tuple(sorted(alias for alias, number in aliases.items() if str(number) == str(version.version))),
            facts_of(version),
            datetime.fromtimestamp(version.creation_timestamp / 1000, UTC),
            dict(version.tags),
            version.run_id or "",
        )
        for version in found
    ]
    return sorted(listed, key=lambda version: -version.number)
