from importlib.metadata import version
from pathlib import Path

import pytest

from raygenre.system.check_packages import check_packages, check_python, declared


def project(root: Path, *dependencies: str, python: str = ">=3.11") -> Path:
    """Create a checkout with these dependencies."""
    lines = ["[project]", 'name = "raygenre"', f'requires-python = "{python}"', f"dependencies = {list(dependencies)}"]
    (root / "pyproject.toml").write_text("\n".join(lines))
    return root


def test_this_environment_is_complete() -> None:
    finding = check_packages()
    assert finding.status == "ok", finding.found
    installed = finding.facts["installed"]
    assert isinstance(installed, dict)
    assert installed["torch"] == version("torch")
    assert f"ray {version('ray')}" in finding.found
    assert check_python().status == "ok"


def test_an_old_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python imports the package that comes first on sys.path."""
    info = tmp_path / "soxr-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: soxr\nVersion: 0.1\n")
    monkeypatch.syspath_prepend(tmp_path)
    finding = check_packages()
    assert (finding.status, finding.found) == ("problem", "soxr 0.1 is not >=0.5")
    assert "scripts/install.py" in finding.remedy


def test_missing_packages_are_named(tmp_path: Path) -> None:
    finding = check_packages(project(tmp_path, "numpy>=2", "no-such-package>=1.5"))
    assert (finding.status, finding.found) == ("problem", "not installed: no-such-package>=1.5")
    assert finding.facts["installed"] == {"numpy": version("numpy")}
    assert "install raygenre again" in finding.remedy


def test_without_a_checkout_the_metadata_is_read(tmp_path: Path) -> None:
    python, requirements = declared(tmp_path)
    assert python.startswith(">=3.")
    names = {requirement.name for requirement in requirements}
    assert {"torch", "mlflow", "numpy"} <= names
    assert "pytest" not in names


def test_an_old_python_is_a_problem(tmp_path: Path) -> None:
    finding = check_python(project(tmp_path, python=">=9"))
    assert finding.status == "problem"
    assert "raygenre needs >=9" in finding.found
