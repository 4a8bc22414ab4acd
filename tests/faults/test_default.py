"""The script works without any options, which is how a new user runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from raygenre.registry import champion
from raygenre.system.storage import resolve
from tests.helpers.project import ROOT


@pytest.mark.slow
@pytest.mark.alone
def test_a_search_without_data_ends_with_a_good_champion(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "experiments" / "tune.py")]
    environment = os.environ | {"RAYGENRE_STORAGE": str(tmp_path / "results")}
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=600, check=False, cwd=tmp_path, env=environment
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith("No --data and no RAYGENRE_DATA")
    current = champion.find(resolve(tmp_path / "results"))
    assert current is not None
    version, facts = current
    assert version == 1
    assert facts is not None
    assert facts.synthetic
    assert facts.test_accuracy > 0.8  # chance is 0.1
    accuracy = re.search(r"Test accuracy ([\d.]+)% on 40 tracks \(95 % interval", result.stdout)
    assert accuracy
    assert float(accuracy[1]) == pytest.approx(100 * facts.test_accuracy, abs=0.1)
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
