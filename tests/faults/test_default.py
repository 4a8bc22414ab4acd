"""The script without any data, as a newcomer runs it but for fewer trials: without bfloat16 they take minutes each."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from raygenre import alias
from raygenre.storage import resolve
from tests.test_tune import ROOT


@pytest.mark.slow
@pytest.mark.alone
def test_a_search_without_data_ends_with_a_champion_that_knows_the_synthetic_genres(tmp_path: Path) -> None:
    script = str(ROOT / "experiments" / "tune.py")
    command = [sys.executable, script, "--storage", str(tmp_path / "results"), "--trials", "3", "--top-k", "1"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=1100, check=False, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith("No --data and no RAYGENRE_DATA")
    found = alias.champion(resolve(tmp_path / "results"))
    assert found is not None
    version, evidence = found
    assert version == 1
    assert evidence is not None
    assert evidence.synthetic
    assert evidence.test_accuracy > 0.6  # chance is 0.1
    accuracy = re.search(r"Test accuracy ([\d.]+)% on 40 tracks \(95 % interval", result.stdout)
    assert accuracy
    assert float(accuracy[1]) == pytest.approx(100 * evidence.test_accuracy, abs=0.1)
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
