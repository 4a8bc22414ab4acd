from pathlib import Path

import pytest

from raygenre.storage import resolve


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RAYGENRE_STORAGE", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)


def test_default_is_a_folder_and_a_database_in_it(tmp_path: Path) -> None:
    storage = resolve()
    assert storage.root == tmp_path / "results"
    assert storage.tracking_uri == f"sqlite:///{tmp_path}/results/mlflow.db"
    assert storage.artifact_uri == f"file://{tmp_path}/results/artifacts"


def test_environment_goes_before_default_and_option_before_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYGENRE_STORAGE", str(tmp_path / "a"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert (resolve().root, resolve().tracking_uri) == (tmp_path / "a", "http://127.0.0.1:1")
    assert resolve().artifact_uri is None  # a server decides for itself
    assert resolve(tmp_path, "postgresql://127.0.0.1/x").artifact_uri == f"file://{tmp_path}/artifacts"
    assert resolve(tmp_path / "b", "http://127.0.0.1:2").root == tmp_path / "b"
    assert resolve(tmp_path / "b", "http://127.0.0.1:2").tracking_uri == "http://127.0.0.1:2"


def test_nothing_is_created(tmp_path: Path) -> None:
    resolve()
    assert not list(tmp_path.iterdir())


def test_a_file_in_its_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(ValueError, match=r"results is not a folder.*--storage"):
        resolve()
