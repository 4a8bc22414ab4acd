"""Registered models: a candidate becomes a version of `raygenre`, the best of them carries the alias `champion`.

A version's artifact is the Classifier folder, with a pyfunc over it for MLflow users. `fetch` reads the folder's two
files alone and runs no code from the registry. What decides about the champion stands in the version's tags.
"""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Self

import mlflow
import pandas as pd
import torch
from mlflow.entities import LoggedModelOutput
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

from raygenre import spectrogram
from raygenre.classifier import Classifier, ClassifierError
from raygenre.storage import Storage
from raygenre.tracking_server import quiet_mlflow

MODEL = "raygenre"
CHAMPION = "champion"
CHAMPION_URI = f"models:/{MODEL}@{CHAMPION}"

_REQUIREMENTS = ("av", "mlflow", "numpy", "pandas", "pillow", "safetensors", "soxr", "torch")


class RegistryError(RuntimeError):
    """A model cannot be had from the registry; the message says what to run."""


@dataclass(frozen=True)
class Evidence:
    """What is known of a version, as its tags have it.

    Attributes:
        test_accuracy: on the test tracks.
        test_digest: SHA-256 of the test tracks' ids and of the data set; equal digests mean the same test.
        synthetic: whether it was trained on synthetic tracks.
        study: the search it came from.
        sha256: of the weights.
    """

    test_accuracy: float
    test_digest: str
    synthetic: bool
    study: str
    sha256: str

    def to_tags(self) -> dict[str, str]:
        return {
            "test_accuracy": repr(self.test_accuracy),
            "test_digest": self.test_digest,
            "synthetic": str(self.synthetic).lower(),
            "study": self.study,
            "sha256": self.sha256,
        }

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> Self:
        return cls(
            float(tags["test_accuracy"]),
            tags["test_digest"],
            tags["synthetic"] == "true",
            tags["study"],
            tags["sha256"],
        )


@dataclass(frozen=True)
class Decision:
    """Whether a version may become the champion, and why."""

    promote: bool
    reason: str


@dataclass(frozen=True)
class Fetched:
    """A classifier out of the registry, or from a folder, with the name it answers by."""

    classifier: Classifier
    name: str


def test_digest(tracks: tuple[str, ...], data_digest: str) -> str:
    """Identify a test: these tracks of this data set."""
    return hashlib.sha256(json.dumps([sorted(tracks), data_digest]).encode()).hexdigest()


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
        _save_pyfunc(folder, Path(scratch) / "model")
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


def decide(candidate: Evidence, champion: Evidence) -> Decision:
    """Say whether the candidate should take the champion's place."""
    if champion.synthetic and not candidate.synthetic:
        return Decision(True, "the champion was trained on synthetic tracks")
    if candidate.synthetic and not champion.synthetic:
        return Decision(False, "it was trained on synthetic tracks, the champion on real ones")
    if candidate.test_digest != champion.test_digest:
        return Decision(False, "it was tested on other tracks than the champion, so the two cannot be compared")
    difference = f"{candidate.test_accuracy:.1%} against the champion's {champion.test_accuracy:.1%} on the same tracks"
    return Decision(candidate.test_accuracy > champion.test_accuracy, difference)


def champion(storage: Storage) -> tuple[int, Evidence | None] | None:
    """Return the champion's version and evidence, if there is a champion; a version registered by hand has none."""
    try:
        found = _client(storage).get_model_version_by_alias(MODEL, CHAMPION)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    try:
        return int(found.version), Evidence.from_tags(found.tags)
    except (KeyError, ValueError):
        return int(found.version), None


def promote(storage: Storage, version: int) -> None:
    """Give a version the alias `champion`."""
    _client(storage).set_registered_model_alias(MODEL, CHAMPION, str(version))


def fetch(storage: Storage, uri: str = CHAMPION_URI, *, device: torch.device | None = None) -> Fetched:
    """Load a classifier by `models:/raygenre@ALIAS`, `models:/raygenre/VERSION` or the path of its folder.

    The weights must have the SHA-256 that the registry has recorded.

    Raises:
        RegistryError: there is no such model, or it is not whole.
    """
    try:
        if not uri.startswith("models:/"):
            return Fetched(Classifier.load(Path(uri), device=device), Path(uri).resolve().name)
        return _fetch_version(storage, uri, device)
    except ClassifierError as error:
        raise RegistryError(f"{uri} cannot be loaded: {error}") from error


def _fetch_version(storage: Storage, uri: str, device: torch.device | None) -> Fetched:
    name, alias, version = _parse(uri)
    missing = (
        f"there is no model {uri} in {storage.tracking_uri}; train one with `make tune` (experiments/tune.py), "
        "or name another storage or tracking server"
    )
    if storage.tracking_uri.startswith("sqlite:///") and not Path(storage.tracking_uri[len("sqlite:///") :]).exists():
        raise RegistryError(missing)  # before MLflow makes a database to look in
    client = _client(storage)
    try:
        found = client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, version)
        source = client.get_model_version_download_uri(name, found.version)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise RegistryError(missing) from error
        raise RegistryError(f"the registry at {storage.tracking_uri} does not answer: {error}") from error
    with tempfile.TemporaryDirectory() as scratch:
        try:
            local = mlflow.artifacts.download_artifacts(
                f"{source}/artifacts", dst_path=scratch, tracking_uri=storage.tracking_uri
            )
            [folder] = Path(local).iterdir()
        except (MlflowException, OSError, ValueError) as error:
            raise RegistryError(f"the files of {name} version {found.version} cannot be read: {error}") from error
        classifier = Classifier.load(folder, device=device)
    if classifier.sha256 != found.tags.get("sha256"):
        raise RegistryError(f"the weights of {name} version {found.version} are not those that were registered")
    return Fetched(classifier, f"{name}/{found.version}")


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


def _save_pyfunc(folder: Path, target: Path) -> None:
    """Write the Classifier folder and the pyfunc over it as an MLflow model."""
    outputs: list[ColSpec | TensorSpec] = [ColSpec(DataType.string, "genre"), ColSpec(DataType.double, "confidence")]
    outputs += [ColSpec(DataType.boolean, "uncertain")]
    outputs += [ColSpec(DataType.double, name) for name in Classifier.load(folder).genres]
    mlflow.pyfunc.save_model(
        target,
        python_model=str(Path(__file__).with_name("pyfunc.py")),
        artifacts={"classifier": str(folder)},
        code_paths=[str(Path(__file__).parent)],
        signature=ModelSignature(Schema([ColSpec(DataType.binary, "file")]), Schema(outputs)),
        input_example=_example(),
        pip_requirements=[f"{name}=={installed_version(name)}" for name in _REQUIREMENTS],
    )


def _client(storage: Storage) -> MlflowClient:
    quiet_mlflow()
    return MlflowClient(storage.tracking_uri, registry_uri=storage.tracking_uri)


def _example() -> pd.DataFrame:
    """The input example that is stored with a model: a picture of a click."""
    samples = torch.zeros(spectrogram.SAMPLE_RATE * 30)
    samples[len(samples) // 2] = 1
    return pd.DataFrame({"file": [spectrogram.write_png(spectrogram.levels(samples).numpy())]})
