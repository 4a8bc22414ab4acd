"""Pinned versions, packages, the project's version, and the help texts of the make targets."""

import itertools
import json
import re
import subprocess
import tomllib
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.helpers.project import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_constraints_hold_only_names_and_versions() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+_]+", line)] == []


def test_every_requirement_has_an_allowed_pin() -> None:
    pins = pinned_versions()
    extras = PROJECT["project"]["optional-dependencies"].values()
    for text in [*PROJECT["project"]["dependencies"], *itertools.chain(*extras)]:
        requirement = Requirement(text)
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier, text


def test_indirect_requirements_are_pinned() -> None:
    """Only installed packages are checked, because `make test` does not install those of the extra `bench`."""
    pins = pinned_versions()
    queue = {("raygenre", extra) for extra in ("", *PROJECT["project"]["optional-dependencies"])}
    visited: set[tuple[str, str]] = set()
    while queue:
        name, extra = package = queue.pop()
        visited.add(package)
        try:
            requirements = [Requirement(text) for text in metadata.requires(name) or []]
        except metadata.PackageNotFoundError:
            continue
        for requirement in requirements:
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                extras = ("", *requirement.extras)
                queue |= {(canonicalize_name(requirement.name), chosen) for chosen in extras} - visited
    assert {name for name, _ in visited} - pins.keys() == {"raygenre"}


def pinned_versions() -> dict[str, str]:
    lines = [line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines()]
    return {canonicalize_name(name): version for name, version in lines}


def test_every_folder_of_code_is_a_package() -> None:
    """Setuptools ignores folders without `__init__.py`."""
    folders = {path.parent for folder in ("raygenre", "serve") for path in (ROOT / folder).rglob("*.py")}
    assert not [folder for folder in folders if not (folder / "__init__.py").exists()]


def test_package_data_is_complete() -> None:
    """Setuptools leaves out non-Python files unless `package-data` lists them."""
    patterns = PROJECT["tool"]["setuptools"]["package-data"]
    listed = set()
    for package, globs in patterns.items():
        for pattern in globs:
            listed |= set((ROOT / package.replace(".", "/")).glob(pattern))
    assert {*ROOT.glob("raygenre/**/*.jinja"), *ROOT.glob("serve/web/page/*")} <= listed


def test_every_make_target_is_in_the_help() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert {line.split()[0] for line in text.splitlines() if line.strip()} == targets


def test_version_is_the_same_everywhere() -> None:
    version = PROJECT["project"]["version"]
    newest = re.findall(r"^## \[?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0]
    document = json.loads((ROOT / "serve" / "web" / "openapi.json").read_text())
    assert newest == document["info"]["version"] == version
