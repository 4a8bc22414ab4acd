"""What a worker reports if the training code cannot be imported, tested in a separate process."""

import json
import subprocess
import sys

PROGRAM = """
import json, sys
from raygenre.search.trials import worker
heavy = [name for name in ("torch", "optuna", "numpy", "pandas") if name in sys.modules]
sys.modules["optuna"] = None
first = worker._import_failure()
del sys.modules["optuna"]
print(json.dumps([heavy, first, worker._import_failure() == first]))
"""


def test_a_missing_library_is_reported_as_a_failure() -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=120)
    heavy, report, same_again = json.loads(result.stdout)
    assert heavy == []
    assert report["failure"].startswith("ModuleNotFoundError: ")
    assert "optuna" in report["failure"]
    assert report["traceback"].startswith("Traceback (most recent call last):\n")
    assert same_again
