"""The house's rule: imports never go upward or in a circle, and heavy libraries stay on their own floors."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.project import ROOT

FLOORS = {
    "raygenre.errors": 0,
    "raygenre.audio": 1,
    "raygenre.system": 1,
    "raygenre.spectrogram": 2,
    "raygenre.data": 3,
    "raygenre.model": 3,
    "raygenre.evaluation": 4,
    "raygenre.tracking": 4,
    "raygenre.training": 4,
    "raygenre.registry": 5,
    "raygenre.search.space": 5,
    "raygenre.search.study": 6,
    "raygenre.search.trials": 7,
    "raygenre.search.summary": 8,
    "raygenre.search": 9,
    "raygenre.workflows": 10,
    "raygenre.cli": 11,
    "experiments": 12,
    "serve": 12,
}
"""A package imports from its own floor and those below."""
RAY = ("raygenre.search", "serve")
MLFLOW = ("raygenre.tracking", "raygenre.registry")
NEVER_IN_SERVE = ("raygenre.search", "raygenre.training", "raygenre.workflows", "raygenre.cli")

SOURCES = sorted(
    path
    for folder in ("raygenre", "serve", "experiments")
    for path in (ROOT / folder).rglob("*.py")
    if path != ROOT / "raygenre" / "__init__.py"
)


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def floor(module: str) -> int:
    known = [name for name in FLOORS if module == name or module.startswith(f"{name}.")]
    assert known, f"{module} has no floor: give it one in {__file__} and in ARCHITECTURE.md"
    return FLOORS[max(known, key=len)]


def imports(path: Path) -> set[str]:
    ours = {module_name(source) for source in SOURCES}
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names if names <= ours else {node.module, *names}
    return {name for name in found if name in ours or not name.startswith(("raygenre", "serve", "experiments"))}


def belongs(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_never_go_upward(path: Path) -> None:
    module = module_name(path)
    for imported in imports(path):
        if belongs(imported, ("raygenre", "serve", "experiments")):
            assert floor(imported) <= floor(module), f"{module} imports {imported}, which lies above it"


def test_imports_have_no_cycle() -> None:
    waiting = {module_name(path): imports(path) for path in SOURCES}
    waiting = {module: {name for name in found if name in waiting} for module, found in waiting.items()}
    while waiting:
        free = [module for module, found in waiting.items() if not found & waiting.keys()]
        assert free, f"these import each other in a circle: {sorted(waiting)}"
        for module in free:
            del waiting[module]


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_heavy_libraries_stay_on_their_floors(path: Path) -> None:
    module = module_name(path)
    for imported in imports(path):
        if belongs(imported, ("ray",)):
            assert belongs(module, RAY), f"{module} imports Ray"
        if belongs(imported, ("mlflow",)):
            assert belongs(module, MLFLOW), f"{module} imports MLflow"


def test_the_endpoint_needs_neither_search_nor_training() -> None:
    direct = {module_name(path): imports(path) for path in SOURCES}
    reached, waiting = set(), {module for module in direct if belongs(module, ("serve",))}
    while waiting:
        module = waiting.pop()
        reached.add(module)
        waiting |= (direct[module] & direct.keys()) - reached
    assert not [module for module in reached if belongs(module, NEVER_IN_SERVE)]


def test_no_file_is_longer_than_250_lines() -> None:
    long = {path.name: lines for path in SOURCES if (lines := len(path.read_text().splitlines())) > 250}
    assert not long


def test_importing_does_nothing(tmp_path: Path) -> None:
    """No folder made, no random state touched, no logging configured, no cluster or run begun."""
    program = """
import logging, os, random
import av, matplotlib, mlflow.pyfunc, numpy, optuna, ray.tune.schedulers, soxr, torch, typer  # do what they do
def state():
    chance = (numpy.random.get_state()[1].tobytes(), torch.get_rng_state().tolist(), random.getstate())
    return chance, dict(os.environ), list(logging.root.handlers), logging.root.level, torch.get_num_threads()
before = state()
import raygenre.cli, raygenre.workflows.tune
assert before == state(), [was == now for was, now in zip(before, state())]
assert not ray.is_initialized()
assert not os.listdir()
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=120)
