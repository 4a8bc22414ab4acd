"""The champion's check detects damage in copies of a registry and changes nothing."""

import json
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from raygenre.cli import app
from raygenre.evaluation.version_facts import VersionFacts
from raygenre.model.classifier import EXAMPLES, WEIGHTS, Classifier
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.registry import champion, versions
from raygenre.registry.check_champion import check_champion
from raygenre.system.check_storage import check_storage
from raygenre.system.storage import Storage, resolve
from raygenre.tracking.server import Server
from tests.helpers.mlflow_server import MlflowServer, free_port
from tests.helpers.storages import empty_storage


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    """A storage whose champion is version 1."""
    storage = empty_storage(tmp_path_factory.mktemp("original"))
    torch.manual_seed(0)
    folder = storage.root / "classifier"
    Classifier(GenreCNN(ModelConfig(genres=2, widths=(4, 4, 4))), ("bells", "storm")).save(folder)
    facts = VersionFacts(0.75, "t", False, "s", Classifier.load(folder).sha256, test_tracks=20, genres=2, data="/GTZAN")
    server = Server(storage)
    run = server.client.create_run(server.experiment_id)
    champion.promote(server, versions.register(server, run.info.run_id, folder, facts))
    return storage


@pytest.fixture
def storage(original: Storage, tmp_path: Path) -> Storage:
    """A copy of the storage that a test may damage; its database still contains the original's addresses."""
    return resolve(shutil.copytree(original.root, tmp_path / "copy"))


def file(storage: Storage, name: str) -> Path:
    [path] = (storage.root / "artifacts").rglob(name)
    return path


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def execute(storage: Storage, statement: str) -> None:
    assert storage.database
    with closing(sqlite3.connect(storage.database)) as database, database:
        database.execute(statement)


def test_a_whole_champion_passes(original: Storage) -> None:
    finding = check_champion(Server(original))
    assert (finding.status, finding.remedy) == ("ok", "")
    assert finding.found == "raygenre/1 passes its self-check: 2 genres, 75.0% of 20 test tracks correct"
    assert finding.facts["genres"] == ["bells", "storm"]


def test_a_copied_storage_is_checked_and_not_changed(storage: Storage, original: Storage) -> None:
    """The copy's champion is checked, although the copy's database refers to the original's files."""
    moved = check_storage(storage)
    assert moved.status == "warning"
    assert f"moved or copied from {original.root}" in moved.found
    file(storage, WEIGHTS).write_bytes(b"damaged")
    before = contents(storage.root)
    assert check_champion(Server(storage)).status == "problem"
    assert check_champion(Server(original)).status == "ok"
    assert contents(storage.root) == before


def test_reversed_genres_are_found(storage: Storage) -> None:
    about = file(storage, "classifier.json")
    about.write_text(json.dumps(json.loads(about.read_text()) | {"genres": ["storm", "bells"]}))
    finding = check_champion(Server(storage))
    assert finding.status == "problem"
    assert "genres, calibration or network in classifier.json are not those that were saved" in finding.found
    assert "raygenre rollback" in finding.remedy


def test_doctor_exits_with_1_for_a_broken_champion(storage: Storage) -> None:
    arguments = ["doctor", "--storage", str(storage.root)]
    whole = CliRunner().invoke(app, arguments)
    assert re.search(r"^ok +champion +raygenre/1 passes its self-check", whole.stdout, re.MULTILINE)
    file(storage, WEIGHTS).write_bytes(b"damaged")
    broken = CliRunner().invoke(app, arguments)
    assert broken.exit_code == 1
    assert re.search(r"^problem champion +cannot load .*: the weights are not those", broken.stdout, re.MULTILINE)
    assert "→ run `raygenre rollback`" in broken.stdout


def test_other_outputs_are_found(storage: Storage, tmp_path: Path) -> None:
    torch.manual_seed(1)
    Classifier(GenreCNN(ModelConfig(genres=2, widths=(4, 4, 4))), ("bells", "storm")).save(tmp_path / "other")
    shutil.copy(tmp_path / "other" / EXAMPLES, file(storage, EXAMPLES))
    finding = check_champion(Server(storage))
    assert finding.status == "problem"
    assert "probabilities of the stored examples differ" in finding.found


def test_missing_files_are_found(storage: Storage) -> None:
    shutil.rmtree(storage.root / "artifacts")
    (storage.root / "artifacts").mkdir()
    finding = check_champion(Server(storage))
    assert finding.status == "problem"
    assert f"the files of raygenre/1 are missing in {storage.root}" in finding.found


def test_a_model_of_synthetic_sounds_is_a_warning(storage: Storage) -> None:
    execute(storage, "UPDATE model_version_tags SET value = 'true' WHERE key = 'synthetic'")
    finding = check_champion(Server(storage))
    assert finding.status == "warning"
    assert "its predictions for real songs are meaningless" in finding.found
    assert "raygenre tune --data PATH" in finding.remedy


def test_a_registry_without_a_champion_is_a_warning(storage: Storage, tmp_path: Path) -> None:
    execute(storage, "DELETE FROM registered_model_aliases")
    finding = check_champion(Server(storage))
    assert (finding.status, finding.found) == ("warning", "none of the 1 registered versions is the champion")
    assert "raygenre promote VERSION" in finding.remedy
    none = check_champion(Server(resolve(tmp_path / "none")))
    assert (none.status, none.found) == ("warning", "no model is registered yet")
    assert not (tmp_path / "none").exists()


def test_a_database_that_needs_the_client_is_not_opened(storage: Storage) -> None:
    execute(storage, "UPDATE alembic_version SET version_num = 'other'")
    before = contents(storage.root)
    finding = check_champion(Server(storage))
    assert finding.status == "warning"
    assert finding.found.startswith("not checked: the database")
    assert contents(storage.root) == before


def test_files_in_another_store_are_not_read(storage: Storage) -> None:
    execute(storage, "UPDATE model_versions SET storage_location = NULL, source = 's3://bucket/model'")
    finding = check_champion(Server(storage))
    assert (finding.status, finding.found) == (
        "warning",
        "not checked: the files of raygenre/1 are not on this machine",
    )


def test_an_unreachable_server_is_a_problem(tmp_path: Path) -> None:
    finding = check_champion(Server(Storage(tmp_path, f"http://127.0.0.1:{free_port()}")))
    assert finding.status == "problem"
    assert "connection refused" in finding.found


def test_a_server_without_a_model_is_a_warning(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    """Other tests may have registered a champion on the shared server."""
    finding = check_champion(Server(mlflow_server.storage(tmp_path)))
    assert "passes its self-check" in finding.found or finding.status == "warning"
    assert not list(tmp_path.iterdir())
