"""Commands import slow libraries only when they need them."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from raygenre.cli import app
from tests.helpers.project import ROOT
from tests.helpers.rivals import Ring

HEAVY = ("captum", "fastapi", "kagglehub", "matplotlib", "mlflow", "optuna", "pandas", "pyarrow", "ray", "scipy",
         "sqlalchemy", "torch")  # fmt: skip

PROGRAM = """
import json, sys
from typer.testing import CliRunner
from raygenre.cli import app
for arguments in json.loads(sys.argv[1]):
    result = CliRunner().invoke(app, arguments)
    print(json.dumps([arguments, result.exit_code, result.stderr, sorted({*json.loads(sys.argv[2])} & {*sys.modules})]))
"""


def run(commands: Sequence[Sequence[str]], heavy: Sequence[str] = HEAVY) -> list[tuple[list[str], int, str]]:
    """Run commands one after another in a separate process, and check that they import none of the heavy libraries.

    Returns:
        Each command with its exit status and its stderr output.
    """
    command = [sys.executable, "-c", PROGRAM, json.dumps(commands), json.dumps(heavy)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    outcomes = []
    for line in result.stdout.splitlines():
        arguments, status, stderr, imported = json.loads(line)
        assert not imported, f"{arguments} imported {imported}"
        outcomes.append((arguments, status, stderr))
    return outcomes


def test_help_imports_no_heavy_library() -> None:
    names = [command.callback.__name__ for command in app.registered_commands if command.callback]
    outcomes = run([["--help"], ["--version"], *([name, "--help"] for name in names), ["studies", "submit", "--help"]])
    assert [(arguments, status) for arguments, status, _ in outcomes if status] == []


def test_errors_about_arguments_import_no_heavy_library(tmp_path: Path) -> None:
    """The storage is empty, and the data, songs, lists and models that the commands name do not exist."""
    missing, file = str(tmp_path / "missing"), tmp_path / "file"
    file.touch()
    storage = ["--storage", str(tmp_path / "results")]
    data = ["--data", missing]
    commands = [
        ["predict", missing, *storage],
        ["predict", str(file), *storage],
        ["predict", str(file), "--model", missing],
        ["predict", str(file), "-o", f"{missing}/genres.csv"],
        ["predict", str(file), "-o", "genres.txt"],
        ["predict", str(file), "--jobs", "-1"],
        ["predict", str(file), "--tags"],
        ["predict", str(file), "--tags", "-o", "tags.csv"],
        ["predict"],
        ["tag", missing, *storage],
        ["tag", "--undo", missing],
        ["tag", str(file), "--map", missing],
        ["tag"],
        ["pretrained", "install", "--from", missing],
        ["pretrained", "remove"],
        ["render", missing, "-o", "song.png"],
        ["render", str(file), "-o", "song.txt"],
        ["render", str(tmp_path), "-o", str(file)],
        ["models", "--storage", str(file)],
        ["evaluate", *data, *storage],
        ["evaluate", "--artists", missing, *storage],
        ["evaluate", *storage],
        ["compare", "one", *storage],
        ["compare", "one", "two", *storage],
        ["compare", "one", "two", "-o", "page.txt", *storage],
        ["promote", "1", *storage],
        ["promote", "1", *data, *storage],
        ["rollback", *storage],
        ["rerun", "0", *storage],
        ["sync", "--study", "spring", *storage],
        ["dashboard", *storage],
        ["dashboard", "--study", "spring", *storage],
        ["ui", *storage],
        ["serve", *storage],
        ["serve", "--host", "0.0.0.0", *storage],
        ["serve", "--host", "192.0.2.1", *storage],
        ["tune", *data, *storage],
        ["tune", "--space", missing, *storage],
        ["tune", "--study", "a/b", *storage],
        ["tune", "--trials", "-1", *storage],
        ["tune", "--sampler", "best", *storage],
        ["tune", "--resume", *storage],
        ["tune", "--resume", "--study", "spring", *storage],
        ["studies", "submit", *data, *storage],
        ["studies", "submit", "--study", "a/b", *storage],
    ]
    outcomes = run(commands, [name for name in HEAVY if name != "fastapi"])  # it is quick, and serve.settings needs it
    assert len(outcomes) == len(commands)
    assert [(arguments, status) for arguments, status, _ in outcomes if status not in (1, 2)] == []
    assert all(stderr for *_, stderr in outcomes)
    assert not (tmp_path / "results").exists()


def test_listing_studies_imports_only_their_database(tmp_path: Path) -> None:
    command = ["studies", "list", "--storage", str(tmp_path / "results")]
    assert run([command], [name for name in HEAVY if name != "sqlalchemy"]) == [(command, 0, "")]
    assert not (tmp_path / "results").exists()


def test_doctor_imports_no_heavy_library_without_a_champion(tmp_path: Path) -> None:
    command = ["doctor", "--storage", str(tmp_path / "results")]
    assert run([command]) == [(command, 0, "")]


@pytest.mark.integration
def test_predict_and_models_do_not_import_mlflow(rivals_ring: Ring, song: Path) -> None:
    storage = ["--storage", str(rivals_ring.storage.root)]
    assert run([["models", *storage]]) == [(["models", *storage], 0, "")]
    predict = ["predict", str(song), "--model", "models:/raygenre/1", *storage]
    assert run([predict], [name for name in HEAVY if name != "torch"]) == [(predict, 0, "")]
