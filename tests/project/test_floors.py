"""Package layers: modules import only from lower layers, without cycles.

Ray, MLflow and rich are imported only where allowed.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.project import ROOT

FLOORS = {
    "raygenre.errors": 0,
    "raygenre.prediction": 0,
    "raygenre.audio": 1,
    "raygenre.system": 1,
    "raygenre.client": 2,
    "raygenre.spectrogram": 2,
    "raygenre.tagging": 2,
    "raygenre.data": 3,
    "raygenre.inputs": 3,
    "raygenre.model": 3,
    "raygenre.pretrained": 3,
    "raygenre.evaluation": 4,
    "raygenre.tracking": 4,
    "raygenre.training": 4,
    "raygenre.registry": 5,
    "raygenre.search.controls": 5,
    "raygenre.search.space": 5,
    "raygenre.search.study": 6,
    "raygenre.search.trials": 7,
    "raygenre.search.summary": 8,
    "raygenre.search": 9,
    "raygenre.batch": 10,
    "raygenre.studies": 10,
    "raygenre.workflows": 10,
    "serve": 10,
    "raygenre.cli": 11,
    "experiments": 12,
}
"""A package imports only from its own floor and the floors below."""
RAY = ("raygenre.batch", "raygenre.search", "raygenre.studies", "serve")
MLFLOW = ("raygenre.tracking", "raygenre.registry")
RICH = ("raygenre.cli",)
NEVER_IN_SERVE = ("raygenre.batch", "raygenre.search", "raygenre.training", "raygenre.workflows", "raygenre.cli")

SOURCES = sorted(
    path
    for folder in ("raygenre", "serve", "experiments")
    for path in (ROOT / folder).rglob("*.py")
    if path != ROOT / "raygenre" / "__init__.py"
)


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def floor(module: str) -> int:
    packages = [name for name in FLOORS if module == name or module.startswith(f"{name}.")]
    assert packages, f"{module} has no floor: add its package to {__file__} and to ARCHITECTURE.md"
    return FLOORS[max(packages, key=len)]


def imports(path: Path) -> set[str]:
    ours = {module_name(source) for source in SOURCES}
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            imported |= names if names <= ours else {node.module, *names}
    return {name for name in imported if name in ours or not name.startswith(("raygenre", "serve", "experiments"))}


def is_in(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_only_go_down(path: Path) -> None:
    module = module_name(path)
    for imported in imports(path):
        if is_in(imported, ("raygenre", "serve", "experiments")):
            assert floor(imported) <= floor(module), f"{module} imports {imported}, which is on a higher floor"


def test_imports_have_no_cycle() -> None:
    imported = {module_name(path): imports(path) for path in SOURCES}
    while imported:
        leaves = [module for module, names in imported.items() if not names & imported.keys()]
        assert leaves, f"an import cycle among: {sorted(imported)}"
        for module in leaves:
            del imported[module]


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_ray_mlflow_and_rich_stay_in_their_packages(path: Path) -> None:
    module = module_name(path)
    for imported in imports(path):
        if is_in(imported, ("ray",)):
            assert is_in(module, RAY), f"{module} imports Ray"
        if is_in(imported, ("mlflow",)):
            assert is_in(module, MLFLOW), f"{module} imports MLflow"
        if is_in(imported, ("rich",)):
            assert is_in(module, RICH), f"{module} imports rich"


def test_endpoint_imports_neither_search_nor_training() -> None:
    direct = {module_name(path): imports(path) for path in SOURCES}
    reached, queue = set(), {module for module in direct if is_in(module, ("serve",))}
    while queue:
        module = queue.pop()
        reached.add(module)
        queue |= (direct[module] & direct.keys()) - reached
    assert not [module for module in reached if is_in(module, NEVER_IN_SERVE)]


def test_no_file_is_longer_than_250_lines() -> None:
    long = {path.name: lines for path in SOURCES if (lines := len(path.read_text().splitlines())) > 250}
    assert not long


def test_imports_have_no_side_effects(tmp_path: Path) -> None:
    """Imports create no folders, change no random state, configure no logging, and start no clusters or runs."""
    program = """
import logging, os, random
import av, matplotlib, mlflow.pyfunc, numpy, optuna, ray.tune.schedulers, soxr, torch, typer  # with side effects
def state():
    generators = (numpy.random.get_state()[1].tobytes(), torch.get_rng_state().tolist(), random.getstate())
    return generators, dict(os.environ), list(logging.root.handlers), logging.root.level, torch.get_num_threads()
before = state()
import raygenre.cli, raygenre.workflows.tune
assert before == state(), [a == b for a, b in zip(before, state())]
assert not ray.is_initialized()
assert not os.listdir()
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=120)


def test_architecture_lists_every_package_on_its_floor() -> None:
    rows = re.findall(r"^\| (\d+) \| (`.*) \|$", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
    listed = {package: int(floor) for floor, packages in rows for package in re.findall(r"`([\w.]+)`", packages)}
    assert listed == FLOORS
    assert [int(floor) for floor, _ in rows] == sorted(set(FLOORS.values()), reverse=True)


def test_architecture_names_the_packages_of_ray_mlflow_and_rich() -> None:
    text = " ".join((ROOT / "ARCHITECTURE.md").read_text().split())
    [(ray, mlflow, rich)] = re.findall(
        r"Ray is imported only in (.*?), MLflow only in (.*?), and rich only in (.*?)\. ", text
    )
    assert tuple(re.findall(r"`([\w.]+)`", ray)) == RAY
    assert tuple(re.findall(r"`([\w.]+)`", mlflow)) == MLFLOW
    assert tuple(re.findall(r"`([\w.]+)`", rich)) == RICH
