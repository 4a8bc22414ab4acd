import os
from pathlib import Path

import mlflow
import pytest
import torch
from mlflow.tracking import MlflowClient

from raygenre.evaluation.version_facts import VersionFacts
from raygenre.model.classifier import WEIGHTS, Classifier
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.registry import champion, embedded, lookup, versions
from raygenre.registry.embedded import RegisteredVersion
from raygenre.registry.versions import RegistryError, RegistryUnreachableError
from raygenre.system.storage import resolve
from raygenre.tracking.server import Server
from tests.helpers.storages import empty_storage


def facts(accuracy: float = 0.7, *, synthetic: bool = False, test: str = "t", sha256: str = "x") -> VersionFacts:
    return VersionFacts(test_accuracy=accuracy, test_digest=test, synthetic=synthetic, study="s", sha256=sha256)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A registry with two versions; the second is the champion."""
    server = Server(empty_storage(tmp_path_factory.mktemp("registry")))
    for seed in (0, 1):
        torch.manual_seed(seed)
        folder = server.storage.root / f"classifier-{seed}"
        Classifier(GenreCNN(ModelConfig(genres=2, widths=(4, 4, 4))), ("a", "b")).save(folder)
        recorded = facts(sha256=Classifier.load(folder).sha256)
        run = server.client.create_run(server.experiment_id)
        assert versions.register(server, run.info.run_id, folder, recorded) == seed + 1
    champion.promote(server, 2)
    return server


def test_registering_does_not_change_the_environment(server: Server) -> None:
    assert os.environ.get("MLFLOW_TRACKING_URI") is None
    assert os.environ.get("MLFLOW_REGISTRY_URI") is None


def test_the_champion_is_the_version_with_the_alias(server: Server) -> None:
    assert champion.find(server) == (
        2,
        facts(sha256=Classifier.load(server.storage.root / "classifier-1").sha256),
    )


@pytest.mark.parametrize(
    ("uri", "name", "folder"),
    [
        ("models:/raygenre@champion", "raygenre/2", "classifier-1"),
        ("models:/raygenre/1", "raygenre/1", "classifier-0"),
    ],
)
def test_fetch_returns_what_was_registered(server: Server, uri: str, name: str, folder: str) -> None:
    fetched = versions.fetch(server, uri)
    assert fetched.name == name
    assert fetched.classifier.sha256 == Classifier.load(server.storage.root / folder).sha256


def test_a_folder_is_fetched_by_its_path(server: Server) -> None:
    fetched = versions.fetch(server, str(server.storage.root / "classifier-0"))
    assert (fetched.name, fetched.classifier.genres) == ("classifier-0", ("a", "b"))


def test_fetching_runs_no_code_from_the_registry(server: Server) -> None:
    """The stored pyfunc is replaced with code that would end the process."""
    [stored] = [
        path for path in (server.storage.root / "artifacts").rglob("pyfunc.py") if path.parent.name != "raygenre"
    ][:1]
    original = stored.read_text()
    stored.write_text("raise SystemExit('ran')")
    try:
        versions.fetch(server, "models:/raygenre/1")
        versions.fetch(server, "models:/raygenre/2")
    finally:
        stored.write_text(original)


def test_weights_replaced_in_the_registry_are_rejected(server: Server) -> None:
    digest = Classifier.load(server.storage.root / "classifier-1").sha256
    other = server.storage.root / "classifier-0"
    for path in (server.storage.root / "artifacts").rglob(WEIGHTS):
        if Classifier.load(path.parent).sha256 == digest:
            folder, weights, about = path.parent, path.read_bytes(), (path.parent / "classifier.json").read_bytes()
    for name in (WEIGHTS, "classifier.json"):
        (folder / name).write_bytes((other / name).read_bytes())
    try:
        with pytest.raises(RegistryError, match="are not the registered ones"):
            versions.fetch(server)
    finally:
        (folder / WEIGHTS).write_bytes(weights)
        (folder / "classifier.json").write_bytes(about)


@pytest.mark.parametrize("uri", ["models:/raygenre@unknown", "models:/raygenre/99", "models:/other@champion"])
def test_a_missing_model_is_named_with_the_command_to_run(server: Server, uri: str) -> None:
    with pytest.raises(RegistryError, match=rf"no model {uri}.*tune\.py"):
        versions.fetch(server, uri)


def test_fetch_creates_nothing_in_an_empty_storage(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"tune\.py"):
        versions.fetch(Server(resolve(tmp_path / "none", f"sqlite:///{tmp_path}/none/mlflow.db")))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("uri", ["models:/", "models:/raygenre", "models:/raygenre/latest", "models:/@champion"])
def test_an_invalid_uri_is_rejected(server: Server, uri: str) -> None:
    with pytest.raises(RegistryError, match="expected models:/NAME@ALIAS"):
        versions.fetch(server, uri)


def test_a_fetched_model_has_its_run_and_facts(server: Server) -> None:
    fetched = versions.fetch(server, "models:/raygenre/1")
    assert len(fetched.run_id) == 32
    assert fetched.facts == facts(sha256=fetched.classifier.sha256)
    assert versions.fetch(server, str(server.storage.root / "classifier-0")).facts is None


def test_the_current_name_is_that_of_the_fetched_model(server: Server) -> None:
    for uri in ("models:/raygenre@champion", "models:/raygenre/1", str(server.storage.root / "classifier-0")):
        assert versions.current(server, uri) == versions.fetch(server, uri).name
    with pytest.raises(RegistryError, match="no model"):
        versions.current(server, "models:/raygenre@unknown")


def test_the_current_name_is_looked_up_without_retries(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """With MLflow's default number of retries, it would take minutes to report an outage."""
    retries: list[str | None] = []
    find = lookup.find

    def watched(where: Server, uri: str) -> RegisteredVersion:
        retries.append(os.environ.get("MLFLOW_HTTP_REQUEST_MAX_RETRIES"))
        return find(where, uri)

    monkeypatch.setattr(versions, "find", watched)
    versions.current(server, "models:/raygenre/1")
    assert retries == ["0"]
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


def test_a_failing_bucket_counts_as_unreachable(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    class ClientError(Exception):
        """An error that, like those from botocore, is neither an OSError nor an MlflowException."""

    def fail(*_: object, **__: object) -> str:
        raise ClientError("SlowDown")

    monkeypatch.setattr(embedded, "SCHEMAS", frozenset())  # as if a different MLflow version had created the database
    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", fail)
    with pytest.raises(RegistryUnreachableError, match="cannot be read: SlowDown"):
        versions.fetch(server, "models:/raygenre/1")


def new_registry(folder: Path, number: int) -> tuple[Server, MlflowClient]:
    """Return a registry with the given number of versions, all without files."""
    server = Server(empty_storage(folder))
    client = server.client
    client.create_registered_model("raygenre")
    for _ in range(number):
        client.create_model_version("raygenre", str(folder / "nothing"))
    return server, client


def test_the_champion_is_rolled_back_step_by_step(tmp_path: Path) -> None:
    server, _ = new_registry(tmp_path, 3)
    with pytest.raises(RegistryError, match="no champion"):
        champion.rollback(server)
    for version in (1, 2, 2, 3, 1):
        champion.promote(server, version)
    assert [champion.rollback(server) for _ in range(3)] == [(1, 3), (3, 2), (2, 1)]
    assert champion.find(server) == (1, None)
    with pytest.raises(RegistryError, match="no previous champion"):
        champion.rollback(server)


def test_a_rollback_after_a_broken_promotion_skips_it(tmp_path: Path) -> None:
    server, client = new_registry(tmp_path, 2)
    champion.promote(server, 1)
    champion.promote(server, 2)
    client.set_registered_model_tag("raygenre", champion.HISTORY, "1 2")
    assert champion.rollback(server) == (2, 1)


def test_a_rollback_never_restores_a_deleted_version(tmp_path: Path) -> None:
    server, client = new_registry(tmp_path, 2)
    champion.promote(server, 1)
    champion.promote(server, 2)
    client.delete_model_version("raygenre", "1")
    with pytest.raises(RegistryError, match="version 2 has no previous champion"):
        champion.rollback(server)
    assert champion.find(server) == (2, None)


def test_deleted_former_champions_are_skipped(tmp_path: Path) -> None:
    server, client = new_registry(tmp_path, 3)
    for version in (1, 2, 3):
        champion.promote(server, version)
    client.delete_model_version("raygenre", "2")
    assert champion.rollback(server) == (3, 1)
    champion.promote(server, 3)
    client.delete_model_version("raygenre", "3")
    assert champion.find(server) is None
    assert champion.incumbent_of(client) == (1, None, False)  # the version that a candidate has to beat


def test_a_former_champion_is_tagged_with_its_successor(tmp_path: Path) -> None:
    server, client = new_registry(tmp_path, 2)
    champion.promote(server, 1)
    champion.promote(server, 2)
    assert client.get_model_version("raygenre", "1").tags[champion.REPLACED] == "2"
    champion.rollback(server)
    assert not client.get_model_version("raygenre", "1").tags[champion.REPLACED]


def test_a_version_registered_by_hand_is_not_loaded(server: Server, tmp_path: Path) -> None:
    client = server.client
    created = client.create_model_version("raygenre", str(client.get_model_version("raygenre", "1").source))
    with pytest.raises(RegistryError, match="registered by hand"):
        versions.fetch(server, f"models:/raygenre/{created.version}")
