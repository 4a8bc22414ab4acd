"""Checks of Python and the installed packages against the declared minimum versions."""

import platform
import re
import sys
import tomllib
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from raygenre.system.finding import Finding

ROOT = Path(__file__).parents[2]
"""The project's folder, if raygenre is used from a checkout."""

_NAME = "raygenre"
_SHOWN = ("ray", "torch", "mlflow", "optuna")
_TESTED_SYSTEM = "Linux"


def check_python(root: Path = ROOT) -> Finding:
    """Check the version of Python and the operating system."""
    required, _ = declared(root)
    system = f"{platform.system()} {platform.machine()}"
    found = f"{platform.python_version()} in {sys.prefix}, on {system}"
    facts = {"version": platform.python_version(), "prefix": sys.prefix, "system": system, "required": required}
    if platform.python_version() not in SpecifierSet(required, prereleases=True):
        remedy = f"create the environment with Python {required}: make PYTHON=python3.11 …"
        return Finding("Python", "problem", f"{found}; raygenre needs {required}", remedy, facts)
    if platform.system() != _TESTED_SYSTEM:
        return Finding("Python", "warning", f"{found}; raygenre is tested only on {_TESTED_SYSTEM}", "", facts)
    return Finding("Python", "ok", found, "", facts)


def check_packages(root: Path = ROOT) -> Finding:
    """Check that every required package is installed, and that its version is recent enough."""
    installed: dict[str, str] = {}
    missing, old = [], []
    for requirement in declared(root)[1]:
        try:
            installed[requirement.name] = version(requirement.name)
        except PackageNotFoundError:
            missing.append(str(requirement))
            continue
        if not requirement.specifier.contains(installed[requirement.name], prereleases=True):
            old.append(f"{requirement.name} {installed[requirement.name]} is not {requirement.specifier}")
    facts = {"installed": installed, "missing": missing, "old": old}
    if missing or old:
        parts = [f"not installed: {', '.join(missing)}"] * bool(missing) + old
        return Finding("packages", "problem", "; ".join(parts), install_command(root), facts)
    shown = ", ".join(f"{name} {installed[name]}" for name in _SHOWN if name in installed)
    return Finding("packages", "ok", f"all {len(installed)} are recent enough: {shown}", "", facts)


def install_command(root: Path = ROOT) -> str:
    """Return instructions for installing the required packages."""
    if (root / "scripts" / "install.py").is_file():
        return f"run `python3 {root / 'scripts' / 'install.py'}`"
    return "install raygenre again, in a new environment if that fails"


def declared(root: Path) -> tuple[str, Sequence[Requirement]]:
    """Return the required version of Python, and the required packages.

    They are read from the checkout's pyproject.toml, because the metadata of an editable installation may be outdated.
    """
    project = root / "pyproject.toml"
    if project.is_file():
        table = tomllib.loads(project.read_text()).get("project", {})
        if table.get("name") == _NAME:
            return table["requires-python"], [Requirement(line) for line in table["dependencies"]]
    recorded = metadata(_NAME)
    lines = [line for line in recorded.get_all("Requires-Dist") or () if not re.search(r"\bextra\s*==", line)]
    return recorded["Requires-Python"], [Requirement(line) for line in lines]
