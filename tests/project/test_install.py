"""Installation: package indexes, printed lines, and the packages of the extra `k8s`."""

import ast
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts import install
from tests.helpers.project import ROOT

WITHOUT_OTHER_PACKAGES = """
import sys


class Finder:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top not in allowed:
            raise ModuleNotFoundError(f"{name} is not in the extra k8s", name=name)


allowed = {"k8s", "raygenre", "serve", *sys.argv[1:]}
sys.meta_path.insert(0, Finder())
from k8s import search
from k8s.check import __main__
sys.exit(search.main(["dev", "first", "8"]))
"""


def test_uv_uses_the_package_indexes_of_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "pip.conf"
    config.write_text("[global]\nindex-url = file:///global\nextra-index-url =\n  file:///a\n  file:///b\n")
    monkeypatch.setattr(install, "PIP", [sys.executable, "-m", "pip"])
    for variable in (*install.SOURCES.values(), "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels /more")
    environment = install.uv_environment()
    assert environment["UV_DEFAULT_INDEX"] == "file:///global"
    assert environment["UV_INDEX"] == "file:///global file:///a file:///b"  # the main index comes first
    assert environment["UV_FIND_LINKS"] == "/wheels,/more"

    monkeypatch.setenv("PIP_INDEX_URL", "file:///environment")
    assert install.uv_environment()["UV_DEFAULT_INDEX"] == "file:///environment"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "file:///uv")
    assert install.uv_environment()["UV_DEFAULT_INDEX"] == "file:///uv"

    monkeypatch.delenv("PIP_INDEX_URL")
    config.write_text("[global]\nextra-index-url = file:///a\n")
    default = install.default_index()
    assert default.startswith("https://")
    assert install.uv_environment()["UV_INDEX"] == f"{default} file:///a"


def test_only_stages_large_downloads_and_errors_are_shown() -> None:
    shown = [
        "Resolved 218 packages in 1.51s",
        "Downloading nvidia-cusparse (144.0MiB)",
        "  Downloading torch-2.15.0-cp311-cp311-manylinux_2_28_x86_64.whl (539.1 MB)",
        "Installing collected packages: torch",
        "error: Failed to fetch",
    ]
    details = [
        " + aiohttp==3.14.5",
        "Downloading ruff (10.2MiB)",
        " Downloaded ruff",
        "Collecting ruff==0.15.2",
        "  Downloading ruff-0.15.2-py3-none-manylinux_2_17_x86_64.whl (10.6 MB)",
        "  Downloading decorator-5.2.1-py3-none-any.whl (9.2 kB)",
        "  Downloading moto-5.1.0-py3-none-any.whl.metadata (120 kB)",
    ]
    assert [line for line in [*shown, *details] if not install.DETAIL.match(line)] == shown


def test_the_packages_for_kubernetes_are_installed_alone() -> None:
    assert install.packages("") == ["--editable=."]
    assert install.packages("test") == ["--editable=.[test]"]
    assert {Requirement(one).name for one in install.packages("k8s")} == {"jsonschema", "kubernetes-validate", "pyyaml"}
    for target in ("k8s-check", "k8s-search"):
        command = ["make", "--dry-run", "--what-if=pyproject.toml", target, "PYTHON=python3"]
        lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
        assert [line for line in lines if "install.py" in line] == ["python3 scripts/install.py k8s"]


def test_searches_and_the_check_need_no_other_packages() -> None:
    modules = [
        top for top, names in metadata.packages_distributions().items() if {*map(canonicalize_name, names)} & extra()
    ]
    command = [sys.executable, "-c", WITHOUT_OTHER_PACKAGES, *modules]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "kind: RayJob" in done.stdout
    for path in {*ROOT.glob("k8s/**/*.py")} - {ROOT / "k8s" / "study_exists.py"}:  # study_exists runs in the image
        functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
        late = [
            node
            for function in functions
            for node in ast.walk(function)
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        assert not late, f"{path}: the test above does not detect imports in functions"


def extra() -> set[str]:
    """Return the packages of the extra `k8s` and their dependencies."""
    queue, found = [Requirement(one) for one in install.packages("k8s")], set[str]()
    while queue:
        requirement = queue.pop()
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            if (name := canonicalize_name(requirement.name)) not in found:
                queue += [Requirement(one) for one in metadata.requires(name) or []]
            found.add(name)
    return found
