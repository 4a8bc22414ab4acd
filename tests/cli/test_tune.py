"""The script `experiments/tune.py`: what it refuses and says. Whole searches are in test_job.py and tests/faults."""

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

import raygenre.cli.tune
from raygenre.workflows import tune as job
from tests.helpers.project import ROOT, SCRIPT


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    """The script's names, for calls within this process."""
    return runpy.run_path(str(SCRIPT))


@pytest.fixture
def on_the_cluster(ray_cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the script use the tests' cluster instead of starting one."""
    monkeypatch.setattr(raygenre.cli.tune, "connect", lambda address: "the tests' cluster")


def tune(*arguments: str, storage: Path | str) -> subprocess.CompletedProcess[str]:
    """Run the script as a process of its own, which takes many seconds."""
    command = [sys.executable, str(SCRIPT), "--storage", str(storage), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def tuned(script: dict[str, Any], *arguments: str, storage: Path) -> Result:
    """Run the script's command in this process."""
    app = typer.Typer()
    app.command()(script["main"])
    return CliRunner().invoke(app, ["--storage", str(storage), *arguments])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume"], "there is no study in"),
        (["--resume", "--study", "spring"], "there is no study spring"),
        (["--data", "TRACKS", "--study", "a/b"], "letters"),
        (["--data", "TRACKS", "--split", "lists"], "--split-lists DIR go together"),
        (["--data", "TRACKS", "--trials", "2", "--top-k", "3"], "top_k is 3"),
        (["--data", "TRACKS", "--gpus-per-trial", "99"], "lower --gpus-per-trial"),
        (["--data", "TRACKS", "--space", "EXAMPLE", "--batch-size", "4"], "leave out --batch-size"),
        (["--data", "TRACKS", "--space", "/nowhere.yaml"], "/nowhere.yaml cannot be read (No such file"),
        (["--data", "TRACKS", "--start", "dropout=0.9"], "dropout=0.9 is outside the space, which has 0 to 0.5"),
        (["--data", "TRACKS", "--objectives", "loss,latency", "--scheduler", "asha"], "use --scheduler none"),
        (["--config", "EXAMPLE"], "line 8: unknown name dropout"),
        (["--data", "TRACKS", "--cpus-per-trial", "0"], "cpus per trial must be positive"),
    ],
)
def test_a_search_that_cannot_be_is_refused_in_one_line(
    arguments: list[str],
    message: str,
    tracks_folder: Path,
    tmp_path: Path,
    script: dict[str, Any],
    on_the_cluster: None,
) -> None:
    known = {"TRACKS": str(tracks_folder), "EXAMPLE": str(ROOT / "experiments" / "space.yaml")}
    result = tuned(script, *(known.get(argument, argument) for argument in arguments), storage=tmp_path / "results")
    assert result.exit_code == 2, result.output
    assert "error: " in result.stdout
    assert message in result.stdout
    assert not (tmp_path / "results" / "mlflow.db").exists()


@pytest.mark.integration
def test_the_script_by_itself_refuses_without_a_traceback(tmp_path: Path) -> None:
    result = tune("--data", "/nowhere", storage=tmp_path / "results")
    assert result.returncode == 2, result.stdout + result.stderr
    assert "error: /nowhere is not a folder" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr
    assert not (tmp_path / "results").exists()


def test_a_champion_that_cannot_be_decided_about_is_said_with_what_to_do(
    tracks_folder: Path,
    tmp_path: Path,
    script: dict[str, Any],
    on_the_cluster: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def undecided(*arguments: object, **named: object) -> None:
        raise job.PromotionPendingError(7, "somebody has not given the lock back")

    monkeypatch.setattr(job, "run", undecided)
    result = tuned(script, "--data", str(tracks_folder), storage=tmp_path)
    assert result.exit_code == 2, result.output
    said = " ".join(result.stdout.split())
    assert (
        "version 7 is registered, but the champion could not be changed: somebody has not given the lock back" in said
    )
    assert said.endswith("raygenre promote 7")


def test_the_script_speaks_before_it_imports_what_takes_seconds() -> None:
    program = (
        f"import runpy, sys; runpy.run_path({str(SCRIPT)!r}); print(*{{'torch', 'ray', 'mlflow'}} & sys.modules.keys())"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert result.stdout == "\n"
