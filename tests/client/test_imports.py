"""Importing the client is quick, because it imports no large library."""

import subprocess
import sys

from tests.helpers.project import ROOT

HEAVY = {"av", "fastapi", "mlflow", "numpy", "pandas", "pyarrow", "ray", "requests", "scipy", "torch"}


def test_the_client_imports_no_heavy_library() -> None:
    program = f"import sys; from raygenre.client import Client; print(sorted({HEAVY} & {{*sys.modules}}))"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
