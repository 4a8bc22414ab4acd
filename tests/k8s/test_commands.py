"""The manifests' commands, settings, ports and probes work on a real Ray cluster."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from k8s.check.rendering import ROOT
from tests.helpers import postgres
from tests.helpers.k8s.search_on_three import TRIALS

PACKAGES = "iproute2 redis-server"
pytestmark = pytest.mark.slow


def apart(module: str, *arguments: Path, **environment: str) -> str:
    """Run a module in separate network and process namespaces, and return its output."""
    for program in ("ip", "redis-server"):
        assert shutil.which(program), f"{program} is not installed; these tests need it: apt-get install {PACKAGES}"
    spaces = ["unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command = [*spaces, sys.executable, "-m", module, *map(str, arguments)]
    settings = os.environ | environment
    done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, timeout=1100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.alone
def test_the_endpoint_of_an_overlay_answers_while_its_head_dies(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    said = apart("tests.helpers.k8s.endpoint_on_three", tmp_path)
    sys.stdout.write(said)
    record_property("head killed", said)


def test_the_search_of_an_overlay_finds_a_champion(
    tracks_folder: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with postgres.running() as server:
        for name in ("mlflow", "optuna"):
            server.create(name)
        variables = server.variables("mlflow")
        said = apart("tests.helpers.k8s.search_on_three", tmp_path, tracks_folder, **variables)
        record_property("nodes", said)
        tables = ["psql", "--tuples-only", "--command", "select count(*) from trials", "optuna"]
        counted = subprocess.run(tables, env=os.environ | variables, capture_output=True, text=True, check=True)
    assert int(counted.stdout) == TRIALS
