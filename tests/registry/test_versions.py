import os
from pathlib import Path

import mlflow
import pytest
import torch
from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from raygenre.evaluation.version_facts import VersionFacts
from raygenre.model.classifier import WEIGHTS, Classifier
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.registry import champion as alias
from raygenre.registry import versions as registry
from raygenre.registry.versions import AwayError, RegistryError
from raygenre.system.storage import Storage, resolve
from raygenre.tracking.server import Server
from tests.helpers.storages import empty_storage


def evidence(accuracy: float = 0.7, *, synthetic: bool = False, test: str = "t", sha256: str = "x") -> VersionFacts:
    return VersionFacts(test_accuracy=accuracy, test_digest=test, synthetic=synthetic, study="s", sha256=sha256)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    """A registry with two versions, of which the second is champion."""
    storage = empty_storage(tmp_path_factory.mktemp("registry"))
    server = Server(storage)
    for seed in (0, 1):
        torch.manual_seed(seed)
        folder = storage.root / f"classifier-{seed}"
        Classifier(GenreCNN(ModelConfig(genres=2, widths=(4, 4, 4))), ("a", "b")).save(folder)
        found = evidence(sha256=Classifier.load(folder).sha256)
        run = server.client.create_run(server.experiment_id)
        assert registry.register(storage, run.info.run_id, folder, found) == seed + 1
    alias.promote(storage, 2)
    return storage


def test_registering_leaves_the_process_and_its_children_alone(storage: Storage) -> None:
    assert os.environ.get("MLFLOW_TRACKING_URI") is None
    assert os.environ.get("MLFLOW_REGISTRY_URI") is None


def test_the_champion_is_the_version_with_the_alias(storage: Storage) -> None:
    assert alias.champion(storage) == (
        2,
        evidence(sha256=Classifier.load(storage.root / "classifier-1").sha256),
    )


@pytest.mark.parametrize(
    ("uri", "name", "folder"),
    [
        ("models:/raygenre@champion", "raygenre/2", "classifier-1"),
        ("models:/raygenre/1", "raygenre/1", "classifier-0"),
    ],
)
def test_fetching_gives_what_was_registered(storage: Storage, uri: str, name: str, folder: str) -> None:
    fetched = registry.fetch(storage, uri)
    assert fetched.name == name
    assert fetched.classifier.sha256 == Classifier.load(storage.root / folder).sha256


def test_a_folder_is_fetched_by_its_path(storage: Storage) -> None:
    fetched = registry.fetch(storage, str(storage.root / "classifier-0"))
    assert (fetched.name, fetched.classifier.genres) == ("classifier-0", ("a", "b"))


def test_fetching_runs_no_code_from_the_registry(storage: Storage) -> None:
    """The code stored for MLflow users is replaced by code that would be noticed."""
    [stored] = [path for path in (storage.root / "artifacts").rglob("pyfunc.py") if path.parent.name != "raygenre"][:1]
    original = stored.read_text()
    stored.write_text("raise SystemExit('ran')")
    try:
        registry.fetch(storage, "models:/raygenre/1")
        registry.fetch(storage, "models:/raygenre/2")
    finally:
        stored.write_text(original)


def test_weights_exchanged_in_the_registry_are_refused(storage: Storage) -> None:
    champion = Classifier.load(storage.root / "classifier-1").sha256
    other = storage.root / "classifier-0"
    for path in (storage.root / "artifacts").rglob(WEIGHTS):
        if Classifier.load(path.parent).sha256 == champion:
            folder, weights, about = path.parent, path.read_bytes(), (path.parent / "classifier.json").read_bytes()
    for name in (WEIGHTS, "classifier.json"):
        (folder / name).write_bytes((other / name).read_bytes())
    try:
        with pytest.raises(RegistryError, match="not those that were registered"):
            registry.fetch(storage)
    finally:
        (folder / WEIGHTS).write_bytes(weights)
        (folder / "classifier.json").write_bytes(about)


@pytest.mark.parametrize("uri", ["models:/raygenre@nobody", "models:/raygenre/99", "models:/other@champion"])
def test_a_model_that_is_not_there_is_named_with_what_to_run(storage: Storage, uri: str) -> None:
    with pytest.raises(RegistryError, match=rf"no model {uri}.*tune\.py"):
        registry.fetch(storage, uri)


def test_an_empty_storage_is_not_filled_by_looking(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"tune\.py"):
        registry.fetch(resolve(tmp_path / "none", f"sqlite:///{tmp_path}/none/mlflow.db"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("uri", ["models:/", "models:/raygenre", "models:/raygenre/latest", "models:/@champion"])
def test_a_uri_that_makes_no_sense_is_refused(storage: Storage, uri: str) -> None:
    with pytest.raises(RegistryError, match="expected models:/NAME@ALIAS"):
        registry.fetch(storage, uri)


def test_what_is_fetched_says_where_it_comes_from(storage: Storage) -> None:
    fetched = registry.fetch(storage, "models:/raygenre/1")
    assert len(fetched.run_id) == 32
    assert fetched.evidence == evidence(sha256=fetched.classifier.sha256)
    assert registry.fetch(storage, str(storage.root / "classifier-0")).evidence is None


def test_the_current_name_is_that_of_what_would_be_fetched(storage: Storage) -> None:
    for uri in ("models:/raygenre@champion", "models:/raygenre/1", str(storage.root / "classifier-0")):
        assert registry.current(storage, uri) == registry.fetch(storage, uri).name
    with pytest.raises(RegistryError, match="no model"):
        registry.current(storage, "models:/raygenre@nobody")


def test_whoever_asks_for_the_current_name_soon_hears_that_nobody_answers(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's own retries, with what it does by default, would take minutes."""
    retries: list[str | None] = []
    find = registry._find

    def watched(where: Storage, uri: str) -> ModelVersion:
        retries.append(os.environ.get("MLFLOW_HTTP_REQUEST_MAX_RETRIES"))
        return find(where, uri)

    monkeypatch.setattr(registry, "_find", watched)
    registry.current(storage, "models:/raygenre/1")
    assert retries == ["0"]
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


def test_a_bucket_that_fails_in_its_own_way_is_away(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    class ClientError(Exception):
        """As botocore's, which is neither an OSError nor MLflow's."""

    def fail(*_: object, **__: object) -> str:
        raise ClientError("SlowDown")

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", fail)
    with pytest.raises(AwayError, match="cannot be read: SlowDown"):
        registry.fetch(storage, "models:/raygenre/1")


def versions(folder: Path, number: int) -> tuple[Storage, MlflowClient]:
    """A registry with so many versions, which hold nothing."""
    storage = empty_storage(folder)
    client = Server(storage).client
    client.create_registered_model("raygenre")
    for _ in range(number):
        client.create_model_version("raygenre", str(folder / "nothing"))
    return storage, client


def test_the_champion_is_rolled_back_step_by_step(tmp_path: Path) -> None:
    storage, _ = versions(tmp_path, 3)
    with pytest.raises(RegistryError, match="no champion"):
        alias.rollback(storage)
    for version in (1, 2, 2, 3, 1):
        alias.promote(storage, version)
    assert [alias.rollback(storage) for _ in range(3)] == [(1, 3), (3, 2), (2, 1)]
    assert alias.champion(storage) == (1, None)
    with pytest.raises(RegistryError, match="first champion"):
        alias.rollback(storage)


def test_a_rollback_after_a_promotion_that_ended_half_way_goes_to_another_version(tmp_path: Path) -> None:
    storage, client = versions(tmp_path, 2)
    alias.promote(storage, 1)
    alias.promote(storage, 2)
    client.set_registered_model_tag("raygenre", alias.HISTORY, "1 2")
    assert alias.rollback(storage) == (2, 1)


def test_a_champion_before_that_was_deleted_is_not_gone_back_to(tmp_path: Path) -> None:
    storage, client = versions(tmp_path, 2)
    alias.promote(storage, 1)
    alias.promote(storage, 2)
    client.delete_model_version("raygenre", "1")
    with pytest.raises(RegistryError, match="version 2 is the first champion that there is"):
        alias.rollback(storage)
    assert alias.champion(storage) == (2, None)


def test_champions_that_were_deleted_are_passed_over(tmp_path: Path) -> None:
    storage, client = versions(tmp_path, 3)
    for version in (1, 2, 3):
        alias.promote(storage, version)
    client.delete_model_version("raygenre", "2")
    assert alias.rollback(storage) == (3, 1)
    alias.promote(storage, 3)
    client.delete_model_version("raygenre", "3")
    assert alias.champion(storage) is None
    assert alias.incumbent(storage) == (1, None)  # whom a candidate is compared with


def test_a_version_that_was_champion_says_who_came_after_it(tmp_path: Path) -> None:
    storage, client = versions(tmp_path, 2)
    alias.promote(storage, 1)
    alias.promote(storage, 2)
    assert client.get_model_version("raygenre", "1").tags[alias.REPLACED] == "2"
    alias.rollback(storage)
    assert not client.get_model_version("raygenre", "1").tags[alias.REPLACED]


def test_a_version_registered_by_hand_is_called_so(storage: Storage, tmp_path: Path) -> None:
    client = Server(storage).client
    made = client.create_model_version("raygenre", str(client.get_model_version("raygenre", "1").source))
    with pytest.raises(RegistryError, match="registered by hand"):
        registry.fetch(storage, f"models:/raygenre/{made.version}")
