"""Registered models: a candidate becomes a version of `raygenre`, the best of them carries the alias `champion`.

A version's artifact is the Classifier folder, with a pyfunc over it for MLflow users. `fetch` reads the folder's
files alone and runs no code from the registry. What decides about the champion stands in the version's tags.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import mlflow
import torch
from mlflow.entities import LoggedModelOutput
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from raygenre.classifier import Classifier, ClassifierError
from raygenre.evidence import Evidence
from raygenre.packing import save_pyfunc
from raygenre.storage import Storage
from raygenre.tracking_server import no_retries, quiet_mlflow

MODEL = "raygenre"
CHAMPION = "champion"
CHAMPION_URI = f"models:/{MODEL}@{CHAMPION}"
HISTORY = "champions_before"  # tag of the registered model
MOST_REMEMBERED = 50  # versions in that tag


class RegistryError(RuntimeError):
    """A model cannot be had from the registry; the message says what to run."""


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
    evidence: Evidence | None = None


def register(storage: Storage, run_id: str, folder: Path, evidence: Evidence) -> int:
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


def champion(storage: Storage) -> tuple[int, Evidence | None] | None:
    """Return the champion's version and evidence, if there is a champion; a version registered by hand has none."""
    try:
        found = _client(storage).get_model_version_by_alias(MODEL, CHAMPION)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    return int(found.version), _evidence(found)


def promote(storage: Storage, version: int) -> None:
    """Give a version the alias `champion`; the model's tag keeps the versions that had it before, the last one last."""
    client, incumbent = _client(storage), champion(storage)
    if incumbent and incumbent[0] != version:
        before = [*_history(client), str(incumbent[0])]
        client.set_registered_model_tag(MODEL, HISTORY, " ".join(before[-MOST_REMEMBERED:]))
    client.set_registered_model_alias(MODEL, CHAMPION, str(version))


def rollback(storage: Storage) -> tuple[int, int]:
    """Give the alias `champion` back to the version that had it before; return the one that loses and that gets it.

    Raises:
        RegistryError: there is no champion, there was none before, or its version was deleted.
    """
    incumbent = champion(storage) if _has_registry(storage) else None
    if incumbent is None:
        raise RegistryError(f"there is no champion in {storage.tracking_uri}")
    client = _client(storage)
    before = _history(client)
    while before and before[-1] == str(incumbent[0]):  # a promotion that ended before the alias was moved
        before.pop()
    if not before:
        raise RegistryError(f"version {incumbent[0]} is the first champion; there is none to go back to")
    try:
        client.get_model_version(MODEL, before[-1])
    except MlflowException as error:
        raise RegistryError(f"version {before[-1]}, the champion before, cannot be had: {error}") from error
    # The alias first: a failure in between leaves a tag that the next promotion mends.
    client.set_registered_model_alias(MODEL, CHAMPION, before[-1])
    client.set_registered_model_tag(MODEL, HISTORY, " ".join(before[:-1]))
    return incumbent[0], int(before[-1])


def champions_before(storage: Storage) -> list[int]:
    """Return the versions that were champion before, the last one last."""
    return [int(version) for version in _history(_client(storage))] if _has_registry(storage) else []


def current(storage: Storage, uri: str) -> str:
    """Return the name that `fetch` would give now, without loading anything.

    Raises:
        RegistryError: there is no such model, or the registry does not answer.
    """
    if not uri.startswith("models:/"):
        return Path(uri).resolve().name
    found = _find(storage, uri)
    return f"{found.name}/{found.version}"


def fetch(storage: Storage, uri: str = CHAMPION_URI, *, device: torch.device | None = None) -> Fetched:
    """Load a classifier by `models:/raygenre@ALIAS`, `models:/raygenre/VERSION` or the path of its folder.

    The weights must have the SHA-256 that the registry has recorded.

    Raises:
        RegistryError: there is no such model, or it is not whole.
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
        f"there is no model {uri} in {storage.tracking_uri}; train one with `make tune` (experiments/tune.py), "
        "or name another storage or tracking server"
    )
    if not _has_registry(storage):
        raise RegistryError(missing)  # before MLflow makes a database to look in
    client = _client(storage)
    try:
        return client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, version)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise RegistryError(missing) from error
        raise RegistryError(f"the registry at {storage.tracking_uri} does not answer: {error}") from error


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
        except (MlflowException, OSError, ValueError) as error:
            raise RegistryError(f"the files of {name} version {found.version} cannot be read: {error}") from error
        classifier = Classifier.load(folder, device=device)
    if classifier.sha256 != found.tags.get("sha256"):
        raise RegistryError(f"the weights of {name} version {found.version} are not those that were registered")
    return Fetched(classifier, f"{name}/{found.version}", found.run_id or "", _evidence(found))


def _evidence(found: ModelVersion) -> Evidence | None:
    try:
        return Evidence.from_tags(found.tags)
    except (KeyError, ValueError):
        return None


def _history(client: MlflowClient) -> list[str]:
    try:
        return str(client.get_registered_model(MODEL).tags.get(HISTORY, "")).split()
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return []
        raise


def _has_registry(storage: Storage) -> bool:
    uri = storage.tracking_uri
    return not uri.startswith("sqlite:///") or Path(uri.removeprefix("sqlite:///")).exists()


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
