"""A moved or copied storage reads models from, and writes artifacts to, its current folder."""

import logging
import os
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
import torch
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache

from raygenre.evaluation.version_facts import VersionFacts
from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.registry import versions
from raygenre.search.study import backend
from raygenre.system import moved_storage
from raygenre.system.moved_storage import Move, StorageBusyError, follow_move
from raygenre.system.storage import Storage, StorageError, resolve
from raygenre.tracking.server import Server
from raygenre.tracking.server_errors import meaning, reason
from tests.helpers.storages import empty_storage

CHECKPOINT = "studies/s/trials/0000"
TABLES = (*moved_storage._ADDRESSES, *moved_storage._PATHS)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    """A storage with a run, an artifact and a registered model, in a folder whose name must be quoted in addresses."""
    storage = empty_storage(tmp_path_factory.mktemp("original") / "r 1#ü")
    server = Server(storage)
    tags = {"checkpoint": str(storage.root / CHECKPOINT), "similar": f"{storage.root}-2/x", "name": "trial"}
    run = server.client.create_run(server.experiment_id, tags=tags).info.run_id
    server.client.log_text(run, "curve", "note.txt")
    folder = storage.root / "classifier"
    torch.manual_seed(0)
    Classifier(GenreCNN(ModelConfig(genres=2, widths=(4, 4, 4))), ("a", "b")).save(folder)
    facts = VersionFacts(0.7, "t", synthetic=False, study="s", sha256=Classifier.load(folder).sha256)
    versions.register(server, run, folder, facts)
    return storage


@pytest.fixture(params=["moved", "copied"])
def storage(request: pytest.FixtureRequest, original: Storage, tmp_path: Path) -> Storage:
    """A copy of the original in a new folder; with `moved`, the folder that its database names no longer exists."""
    first = tmp_path / "first"
    if request.param == "moved":
        shutil.copytree(original.root, first)
        assert follow_move(resolve(first)) == Move(original.root, first)
        return resolve(first.rename(tmp_path / "new place"))
    return resolve(shutil.copytree(original.root, tmp_path / "new place"))


def addresses(storage: Storage) -> list[str]:
    """Return all addresses and paths in the database."""
    assert storage.database
    with closing(sqlite3.connect(storage.database)) as database:
        rows = [row for table, column in TABLES for row in database.execute(f"SELECT {column} FROM {table}")]
    return sorted(value for (value,) in rows if value and "/" in value)


def both(storage: Storage) -> tuple[str, str]:
    """Return the storage's URI and path."""
    return storage.root.as_uri(), str(storage.root)


def files(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_artifacts_are_read_and_written_where_it_is(
    storage: Storage, original: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    _artifact_repos_cache.clear()  # the cache's keys are run IDs, which are the same in both storages
    before = files(original.root)
    [stored] = (storage.root / "artifacts").rglob("note.txt")
    stored.write_text("its own")
    with caplog.at_level(logging.WARNING, logger="raygenre"):
        assert versions.fetch(Server(storage), "models:/raygenre/1").name == "raygenre/1"
        server = Server(storage)
        [run] = server.client.search_runs([server.experiment_id])
        assert Path(server.client.download_artifacts(run.info.run_id, "note.txt")).read_text() == "its own"
        server.client.log_text(run.info.run_id, "more", "added.txt")
        new_run = server.client.create_run(server.experiment_id).info.run_id
        server.client.log_text(new_run, "new", "new.txt")
    [line] = [record.getMessage() for record in caplog.records if record.name.startswith("raygenre")]
    assert line.endswith(f"to {storage.root}; MLflow's addresses now name {storage.root}")
    assert {path.name for path in (storage.root / "artifacts").rglob("*.txt")} >= {"added.txt", "new.txt"}
    assert run.data.tags["checkpoint"] == str(storage.root / CHECKPOINT)
    assert run.data.tags["similar"] == f"{original.root}-2/x"
    assert files(original.root) == before
    assert Server(original).client.get_run(run.info.run_id).info.artifact_uri.startswith(original.root.as_uri())


def test_every_address_is_rewritten(original: Storage, tmp_path: Path) -> None:
    copy = resolve(shutil.copytree(original.root, tmp_path / "100% new"))
    expected = [
        value.replace(f"{original.root.as_uri()}/", f"{copy.root.as_uri()}/").replace(
            f"{original.root}/", f"{copy.root}/"
        )
        for value in addresses(original)
    ]
    assert follow_move(copy) == Move(original.root, copy.root)
    assert addresses(copy) == sorted(expected)
    assert follow_move(copy) is None


def test_schema_has_no_other_addresses(original: Storage) -> None:
    """A new version of MLflow may add columns with addresses, which must then be added to the list."""
    assert original.database

    def is_address(value: object) -> bool:
        return any(text in str(value) for text in both(original))

    found = set()
    with closing(sqlite3.connect(original.database)) as database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            rows = database.execute(f"SELECT * FROM {table}")
            names = [name for name, *_ in rows.description]
            for row in rows:
                named = (name for name, value in zip(names, row, strict=True) if is_address(value))
                found |= {(table, name) for name in named}
    assert found <= set(TABLES)
    assert len(found) > 5


def test_only_one_of_two_processes_rewrites(original: Storage, tmp_path: Path) -> None:
    copy = resolve(shutil.copytree(original.root, tmp_path / "copy"))
    barrier, moves = threading.Barrier(4), []

    def open_it() -> None:
        barrier.wait()
        moves.append(follow_move(copy))

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [move for move in moves if move] == [Move(original.root, copy.root)]


def test_symlink_to_a_storage_is_not_a_move(original: Storage, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(original.root)
    assert follow_move(resolve(tmp_path / "link")) is None
    linked = Storage(tmp_path / "link", f"sqlite:///{tmp_path}/link/mlflow.db")  # as with a bind mount
    assert follow_move(linked) is None


def test_models_are_read_if_the_database_is_read_only(
    original: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A writer's lock has the same effect as a read-only disk, and it also prevents root from writing."""
    monkeypatch.setattr(moved_storage, "_TIMEOUT", 0.1)
    old = tmp_path / "old"
    shutil.copytree(original.root, old)
    follow_move(resolve(old))
    storage = resolve(old.rename(tmp_path / "new"))
    assert storage.database
    before = addresses(storage)
    with closing(sqlite3.connect(storage.database, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert versions.fetch(Server(storage), "models:/raygenre/1").name == "raygenre/1"
    assert "still name" in caplog.text
    assert "database is locked" in caplog.text
    assert addresses(storage) == before


def test_locked_database_is_followed_later(original: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moved_storage, "_TIMEOUT", 0.1)
    copy = resolve(shutil.copytree(original.root, tmp_path / "copy"))
    server = Server(copy)
    assert copy.database
    with closing(sqlite3.connect(copy.database, isolation_level=None)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageBusyError) as raised:
            server.client  # noqa: B018
    assert (meaning(raised.value), reason(raised.value)) == ("unreachable", "the database is locked")
    [run] = server.client.search_runs([server.experiment_id])
    assert str(run.info.artifact_uri).startswith(copy.root.as_uri())


def test_running_search_keeps_its_addresses(original: Storage, tmp_path: Path) -> None:
    copy = resolve(shutil.copytree(original.root, tmp_path / "copy"))
    study = copy.studies.folder / "jazz"
    lock = backend.acquire_lock(study)
    (study / "lock").write_text("1")  # the id of another process
    with pytest.raises(StorageError, match=rf"in use as {original.root}: the study jazz is running"):
        follow_move(copy)
    (study / "lock").write_text(str(os.getpid()))
    assert follow_move(copy)
    os.close(lock)


def test_artifacts_apart_from_their_database_stay_there(tmp_path: Path) -> None:
    """The database is in one folder, because of --tracking-uri; the artifacts are in another, given by --storage."""
    database = empty_storage(tmp_path / "database")
    apart = Storage(tmp_path / "apart", database.tracking_uri)
    server = Server(apart)
    server.client.log_text(server.client.create_run(server.experiment_id).info.run_id, "x", "x.txt")
    assert follow_move(apart) is None
    assert follow_move(database) is None
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(database.root / "mlflow.db", copy)
    assert follow_move(resolve(copy)) is None  # its artifacts were not copied


def test_storage_without_runs_has_nothing_to_rewrite(tmp_path: Path) -> None:
    assert follow_move(resolve(tmp_path / "missing")) is None
    assert follow_move(empty_storage(tmp_path / "empty")) is None
    assert follow_move(Storage(tmp_path / "empty", "http://127.0.0.1:1")) is None
    (tmp_path / "empty" / "mlflow.db").write_text("not a database")
    assert follow_move(resolve(tmp_path / "empty")) is None
