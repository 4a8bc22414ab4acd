"""If Ray's memory monitor kills a worker, its trial fails once, and the search continues."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from optuna.trial import TrialState
from ray._private.utils import get_system_memory, get_used_memory  # type: ignore[attr-defined]

from raygenre.search.study.ledger import Ledger
from raygenre.system.location import Location
from tests.helpers.project import ROOT

SHARE = 0.25  # share of the machine's memory that the dense layer fills


@pytest.mark.slow
@pytest.mark.alone
def test_out_of_memory_fails_the_trial_with_that_reason(tracks_folder: Path, tmp_path: Path) -> None:
    """The first trial's dense layer needs all of the memory that the monitor's threshold leaves available.

    With a smaller layer, the trial would be killed repeatedly, and Ray would report a different reason.
    """
    total = get_system_memory()  # as measured by the monitor, which takes container limits into account
    units = int(SHARE * total / (128 * 4))
    space = tmp_path / "space.yaml"
    space.write_text(f"dense: [8, {units}]\nwidth: 32\n")
    command = [
        sys.executable, str(ROOT / "experiments" / "tune.py"), "--storage", str(tmp_path / "results"),
        "--data", str(tracks_folder), "--study", "autumn", "--preset", "original", "--space", str(space),
        "--start", f"dense={units}", "--start", "dense=8", "--trials", "2", "--epochs", "1", "--top-k", "1",
        "--max-concurrent", "1",
    ]  # fmt: skip
    allowed = {"RAY_memory_usage_threshold": f"{min(0.95, get_used_memory() / total + SHARE):.3f}"}
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=1100, check=False, env={**os.environ, **allowed}
    )
    assert result.returncode == 0, result.stdout + result.stderr
    ledger = Ledger.open(Location(str(tmp_path / "results" / "studies")), "autumn", url=None)
    assert [trial.state for trial in ledger.trials] == [TrialState.FAIL, TrialState.COMPLETE]
    assert ledger.failure(0) == "out of memory: Ray killed the worker because its machine ran out of memory"
