from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from raygenre.errors import FileAccessError
from raygenre.system.redaction import masked
from raygenre.system.storage import StorageError, resolve


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RAYGENRE_STORAGE", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)


def test_default_is_a_folder_with_a_database(tmp_path: Path) -> None:
    storage = resolve()
    assert storage.root == tmp_path / "results"
    assert storage.tracking_uri == f"sqlite:///{tmp_path}/results/mlflow.db"
    assert storage.artifact_uri == f"file://{tmp_path}/results/artifacts"


def test_option_overrides_environment_overrides_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYGENRE_STORAGE", str(tmp_path / "a"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert (resolve().root, resolve().tracking_uri) == (tmp_path / "a", "http://127.0.0.1:1")
    assert resolve().artifact_uri is None  # the server determines the location
    assert resolve(tmp_path, "postgresql://127.0.0.1/x").artifact_uri == f"file://{tmp_path}/artifacts"
    assert resolve(tmp_path / "b", "http://127.0.0.1:2").root == tmp_path / "b"
    assert resolve(tmp_path / "b", "http://127.0.0.1:2").tracking_uri == "http://127.0.0.1:2"


def test_resolving_creates_nothing(tmp_path: Path) -> None:
    resolve()
    assert not list(tmp_path.iterdir())


def test_unreadable_storage_raises_an_error() -> None:
    with pytest.raises(FileAccessError, match="the storage cannot be read: File name too long"):
        resolve("a" * 300)


def test_file_instead_of_a_folder_raises_an_error(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(StorageError, match=r"results is not a folder.*--storage"):
        resolve()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://singer:s3cret@host:5000", "http://***@host:5000"),
        ("at https://token@host/a and b@c", "at https://***@host/a and b@c"),
        ("postgresql+psycopg2://u:p@ss/w@rd@host:5432/db", "postgresql+psycopg2://***@host:5432/db"),
        ("postgresql://host/db?user=u&password=s3cret&x=1", "postgresql://host/db?user=u&password=***&x=1"),
        ("'redis://:s3cret@host'", "'redis://***@host'"),
        ("http://host:5000/#/models/raygenre@champion", "http://host:5000/#/models/raygenre@champion"),
        ("models:/raygenre@champion", "models:/raygenre@champion"),
        ("sqlite:////tmp/results/mlflow.db", "sqlite:////tmp/results/mlflow.db"),
    ],
)
def test_credentials_are_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize("name", ["a%41b", "a?b", "a%2fb"])
def test_names_that_a_database_address_changes_are_refused(name: str, tmp_path: Path) -> None:
    for storage in (tmp_path / name, tmp_path / name / "results"):
        with pytest.raises(StorageError, match=r"not allowed in the address of its database; .*--storage"):
            resolve(storage)
    assert resolve(tmp_path / name, "http://127.0.0.1:1").root == tmp_path / name  # it has no database


@pytest.mark.parametrize("name", ["a b", "a#b", "100%", "%zz", "Müsik", "a;b&c=d", "a@b:c", "a'b\"c\\d"])
def test_database_is_in_the_folder(name: str, tmp_path: Path) -> None:
    storage = resolve(tmp_path / name)
    assert storage.database == tmp_path / name / "mlflow.db"
    assert make_url(storage.tracking_uri).database == str(storage.database)


def test_database_of_an_address_is_the_one_that_mlflow_opens(tmp_path: Path) -> None:
    storage = resolve(tmp_path, f"sqlite:///{tmp_path}/a%20b.db?timeout=5")
    assert storage.database == tmp_path / "a b.db"
    assert storage.has_runs is False
    (tmp_path / "a b.db").touch()
    assert resolve(tmp_path, storage.tracking_uri).has_runs
    assert resolve(tmp_path, "postgresql://127.0.0.1/x").database is None
