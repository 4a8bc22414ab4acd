import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from raygenre.system.check_storage import check_storage
from raygenre.system.storage import Storage, resolve
from tests.helpers.permissions import without_root


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users can enter, unlike pytest's own folders."""
    root = Path(tempfile.mkdtemp(dir="/tmp", prefix="storage"))
    root.chmod(0o755)
    yield root
    for path in (root, *root.rglob("*")):
        path.chmod(0o755)
    shutil.rmtree(root)


def test_a_missing_storage_is_not_created(folder: Path) -> None:
    finding = check_storage(resolve(folder / "a" / "b"))
    assert finding.status == "warning"
    assert finding.found == f"{folder / 'a' / 'b'} does not exist yet"
    assert "make tune" in finding.remedy
    assert not list(folder.iterdir())


def test_a_missing_storage_in_a_read_only_folder_is_a_problem(folder: Path) -> None:
    folder.chmod(0o555)
    with without_root():
        finding = check_storage(resolve(folder / "results"))
    assert finding.status == "problem"
    assert finding.found.endswith(f"does not exist, and {folder} cannot be written")


@pytest.mark.parametrize("name", [".", "studies", "artifacts", "mlflow.db"])
def test_what_cannot_be_written_is_named(name: str, folder: Path) -> None:
    root = folder / "results"
    for subfolder in ("studies", "artifacts"):
        (root / subfolder).mkdir(parents=True)
    (root / "mlflow.db").touch()
    for path in (root, *root.rglob("*")):
        path.chmod(0o777)
    (root / name).chmod(0o555)
    with without_root():
        finding = check_storage(resolve(root))
    assert (finding.status, finding.found) == ("problem", f"{root / name} cannot be written")
    assert "permissions" in finding.remedy


def test_what_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "results").mkdir(mode=0o000)
    with without_root():
        finding = check_storage(Storage(folder / "results", "http://localhost:1"))
    assert finding.status == "problem"
    assert f"{folder / 'results'} cannot be read" in finding.found


def test_studies_are_counted(folder: Path) -> None:
    (folder / "studies" / "spring").mkdir(parents=True)
    finding = check_storage(resolve(folder))
    assert (finding.status, finding.found) == ("ok", f"{folder}, with 1 study")
