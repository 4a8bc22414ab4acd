"""The house's rule: imports never go upward or in a circle, and heavy libraries stay on their own floors."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.project import ROOT

FLOORS = {
    "raygenre.magma": 0,
    "raygenre.spectrogram": 0,
    "raygenre.audio": 0,
    "raygenre.encoding": 0,
    "raygenre.synthesis": 0,
    "raygenre.model": 0,
    "raygenre.augmentation": 0,
    "raygenre.optimizer": 0,
    "raygenre.place": 0,
    "raygenre.storage": 0,
    "raygenre.calibration": 0,
    "raygenre.playlist": 0,
    "raygenre.parallel": 0,
    "raygenre.writing": 0,
    "raygenre.drift": 0,
    "raygenre.seen": 0,
    "raygenre.comparison": 0,
    "raygenre.evidence": 0,
    "raygenre.verdict": 1,
    "raygenre.contest": 3,
    "raygenre.promotion_lock": 3,
    "raygenre.championship": 4,
    "raygenre.alias": 4,
    "raygenre.comparing": 4,
    "raygenre.comparing_page": 5,
    "raygenre.machine": 0,
    "raygenre.provenance": 0,
    "raygenre.card": 3,
    "raygenre.appraisal": 3,
    "raygenre.report_page": 4,
    "raygenre.filing": 4,
    "raygenre.examples": 1,
    "raygenre.song": 1,
    "raygenre.inference": 1,
    "raygenre.flops": 1,
    "raygenre.layout": 1,
    "raygenre.dataset": 1,
    "raygenre.duplicates": 1,
    "raygenre.splits": 1,
    "raygenre.fingerprint": 1,
    "raygenre.rendering": 1,
    "raygenre.precision": 0,
    "raygenre.convolution": 0,
    "raygenre.dropout": 0,
    "raygenre.surroundings": 0,
    "raygenre.training": 2,
    "raygenre.training_state": 2,
    "raygenre.classifier": 2,
    "raygenre.evaluation": 2,
    "raygenre.slices": 2,
    "raygenre.saliency": 2,
    "raygenre.timeline": 2,
    "raygenre.batch": 3,
    "raygenre.spool": 0,
    "raygenre.tracking_server": 3,
    "raygenre.delivery": 3,
    "raygenre.courier": 3,
    "raygenre.tracking": 3,
    "raygenre.pyfunc": 3,
    "raygenre.robustness": 3,
    "raygenre.packing": 3,
    "raygenre.search": 4,
    "raygenre.registry": 4,
    "raygenre.report": 4,
    "raygenre.job": 5,
    "raygenre.rerun": 5,
    "raygenre.tune": 6,
    "raygenre.cli": 6,
    "experiments": 6,
    "serve": 6,
}
RAY = ("raygenre.search", "serve")
MLFLOW = (
    "raygenre.tracking_server",
    "raygenre.delivery",
    "raygenre.registry",
    "raygenre.filing",
    "raygenre.championship",
    "raygenre.alias",
    "raygenre.comparing",
    "raygenre.promotion_lock",
    "raygenre.pyfunc",
    "raygenre.packing",
)
NEVER_IN_SERVE = ("raygenre.search", "raygenre.training", "raygenre.job")

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
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    ours = {module_name(source) for source in SOURCES}
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
import raygenre.cli, raygenre.job
assert before == state(), [was == now for was, now in zip(before, state())]
assert not ray.is_initialized()
assert not os.listdir()
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=120)
