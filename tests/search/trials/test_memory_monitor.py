"""Trials whose worker has died; tests/faults uses the real memory monitor."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raygenre.search.trials.memory_monitor import MemoryWatch
from raygenre.search.trials.out_of_memory import KILLED
from raygenre.search.trials.trial_config import TrialConfig


@pytest.mark.parametrize(("error", "failure"), [(f"RayActorError: {KILLED}", KILLED), ("the node died", "")])
def test_only_the_memory_monitor_marks_a_trial_as_failed(tmp_path: Path, error: str, failure: str) -> None:
    config = TrialConfig(3, params={"dropout": 0.1}, fixed={"width": 8}, seed=1, location="/trials/0003").to_dict()
    trial: Any = SimpleNamespace(config=config, error_file=tmp_path / "error.txt")
    trial.error_file.write_text(f"Failure # 1 (occurred at noon)\n{error}\n")
    MemoryWatch().on_trial_recover(0, [], trial)
    restarted = TrialConfig.from_dict(trial.config)
    assert restarted.failure == failure
    assert (restarted.number, restarted.location) == (3, "/trials/0003")
