import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from raygenre import __file__ as package
from raygenre.system import code_version


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=tester", "-c", "user.email=tester@localhost"]
    subprocess.run(["git", *identity, "-C", str(folder), *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--initial-branch", "spring")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "one.py").write_text("1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--message", "one")
    return tmp_path


def test_commit_and_uncommitted_changes(repository: Path) -> None:
    clean = code_version.commit(repository / "code")
    assert clean is not None
    assert len(clean.sha) == 40
    assert (clean.branch, clean.changed) == ("spring", False)
    (repository / "code" / "one.py").write_text("2\n")
    assert code_version.commit(repository / "code") == code_version.Commit(clean.sha, "spring", True)
    git(repository, "commit", "--all", "--message", "two")
    git(repository, "checkout", "--detach")
    detached = code_version.commit(repository / "code")
    assert detached is not None
    assert detached.sha != clean.sha
    assert (detached.branch, detached.changed) == ("", False)


def test_untracked_folder_in_a_repository_has_no_commit(repository: Path) -> None:
    (repository / "installed").mkdir()
    (repository / "installed" / "one.py").write_text("1\n")
    assert code_version.commit(repository / "installed") is None


def test_no_commit_without_git_or_a_repository(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert code_version.commit(tmp_path_factory.mktemp("plain")) is None
    monkeypatch.setenv("PATH", "/nowhere")
    assert code_version.commit(repository / "code") is None


def test_default_folder_is_this_package() -> None:
    assert code_version.commit() == code_version.commit(Path(package).parent)


def test_versions_are_those_of_the_installed_packages() -> None:
    assert code_version.versions()["torch"] == version("torch")
    assert {"raygenre", "ray", "optuna"} <= code_version.versions().keys()
