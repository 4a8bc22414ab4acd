"""What the manifests run, with their settings, ports, probes and configurations, on a real Ray."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from k8s.check.rendering import ROOT
from tests import postgres

pytestmark = pytest.mark.slow


def apart(module: str, *arguments: Path, **environment: str) -> None:
    """Run a module where ports are its own, and where nothing outlives it."""
    spaces = ["unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command = [*spaces, sys.executable, "-m", module, *map(str, arguments)]
    settings = os.environ | environment
    done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_endpoint_of_an_overlay_answers(tmp_path: Path) -> None:
    apart("tests.k8s.one_node", tmp_path)


def test_the_search_of_an_overlay_finds_a_champion(tracks_folder: Path, tmp_path: Path) -> None:
    with postgres.running() as server:
        for name in ("mlflow", "optuna"):
            server.create(name)
        variables = server.variables("mlflow")
        apart("tests.k8s.one_search", tmp_path, tracks_folder, **variables)
        tables = ["psql", "--tuples-only", "--command", "select count(*) from trials", "optuna"]
        counted = subprocess.run(tables, env=os.environ | variables, capture_output=True, text=True, check=True)
    assert int(counted.stdout) == 1
