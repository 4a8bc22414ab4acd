"""The embedded registry, read directly from its database, agrees with MLflow's client."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.store.db.utils import _get_latest_schema_revision
from mlflow.tracking import MlflowClient

from raygenre.registry import embedded, lookup, versions
from raygenre.registry.embedded import RegisteredVersion
from raygenre.system.storage import Storage, resolve
from raygenre.tracking.server import Server
from tests.helpers.storages import empty_storage


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    """A registry with versions 1, 3 and 4 of two models; version 2 of each was deleted."""
    storage = empty_storage(tmp_path_factory.mktemp("naïve 100 % registry"))
    client = Server(storage).client
    run = client.create_run(Server(storage).experiment_id)
    for name in ("raygenre", "other"):
        client.create_registered_model(name, tags={"champions_before": "1"})
        for number in range(4):
            run_id = run.info.run_id if number % 2 else None
            folder = storage.root / "artifacts" / f"{name} {number}"
            folder.mkdir(parents=True)
            client.create_model_version(name, folder.as_uri(), run_id=run_id, tags={"number": f"{name} {number}"})
        client.set_registered_model_alias(name, "champion", "3")
        client.set_registered_model_alias(name, "deleted", "2")
        client.set_registered_model_alias(name, "Best", "3")
        client.delete_model_version(name, "2")
        client.set_model_version_tag(name, "4", "empty", "")
    return storage


def with_client(client: MlflowClient, name: str, number: int) -> RegisteredVersion:
    version = client.get_model_version(name, str(number))
    aliases = client.get_registered_model(name).aliases
    return RegisteredVersion(
        version.name,
        int(version.version),
        version.creation_timestamp,
        client.get_model_version_download_uri(name, str(number)),
        version.run_id or "",
        dict(version.tags),
        tuple(sorted(alias for alias, pointed in aliases.items() if str(pointed) == str(number))),
    )


def test_the_database_agrees_with_mlflows_client(storage: Storage) -> None:
    client = Server(storage).client
    for name in ("raygenre", "other"):
        read = embedded.read_versions(storage, name)
        assert read == [with_client(client, name, number) for number in (1, 3, 4)]
        assert read[1].aliases == ("Best", "champion")
        known = [replace(version, source="") for version in reversed(read)]
        assert sorted(lookup._list_with_client(Server(storage), name), key=lambda version: -version.number) == known
    assert embedded.read_versions(storage, "Raygenre") == []


@pytest.mark.parametrize("part", ["@champion", "@Best", "@best", "@deleted", "@latest", "/1", "/01", "/2", "/9"])
def test_a_model_is_found_as_by_mlflows_client(part: str, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    def current() -> str:
        try:
            return versions.current(Server(storage), f"models:/raygenre{part}")
        except versions.RegistryError as error:
            return str(error)

    read = current()
    monkeypatch.setattr(embedded, "SCHEMAS", frozenset())
    assert current() == read


def test_the_installed_mlflow_makes_databases_that_are_read() -> None:
    assert _get_latest_schema_revision() in embedded.SCHEMAS


def test_other_databases_are_left_to_mlflows_client(storage: Storage, tmp_path: Path) -> None:
    assert embedded.read_versions(resolve(tmp_path), "raygenre") is None
    assert embedded.read_versions(resolve(storage.root, "http://localhost:1"), "raygenre") is None
    with closing(sqlite3.connect(storage.root / "mlflow.db")) as source:
        for statement in ("UPDATE alembic_version SET version_num = 'newer'", "DROP TABLE registered_model_aliases"):
            (tmp_path / "mlflow.db").unlink(missing_ok=True)
            with closing(sqlite3.connect(tmp_path / "mlflow.db")) as copy:
                source.backup(copy)
                copy.execute(statement)
                copy.commit()
            assert embedded.read_versions(resolve(tmp_path), "raygenre") is None


def test_a_locked_database_is_left_to_mlflows_client(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "_TIMEOUT", 0.01)
    with closing(sqlite3.connect(storage.root / "mlflow.db", isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        assert embedded.read_versions(storage, "raygenre") is None


def test_only_folders_in_the_storage_are_read_directly(storage: Storage, tmp_path: Path) -> None:
    first, *_ = embedded.read_versions(storage, "raygenre") or []
    assert embedded.artifact_folder(storage, first) == storage.root / "artifacts" / "raygenre 0"
    assert embedded.artifact_folder(resolve(tmp_path), first) is None  # as in a copy of the storage
    for source in ("", "s3://bucket/model", "file://host/model", (storage.root / "gone").as_uri(), str(tmp_path)):
        assert embedded.artifact_folder(storage, replace(first, source=source)) is None
