"""`raygenre tune` and `experiments/tune.py`: errors and printed text.

Complete searches are tested in tests/workflows and tests/faults.
"""

import inspect
import runpy
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

import raygenre.cli.tune_run
from raygenre.cli import app
from raygenre.cli.tune_report import resume_command
from raygenre.data.dataset import Dataset
from raygenre.search.options import Options
from raygenre.search.space.samplers import sampler
from raygenre.search.study.ledger import Ledger
from raygenre.search.trials.failure_watch import SearchFailedError
from raygenre.workflows import tune as job
from tests.conftest import new_ledger
from tests.helpers.project import ROOT, SCRIPT


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    """Return the script's globals, so that tests can call it in this process."""
    return runpy.run_path(str(SCRIPT))


@pytest.fixture
def on_the_cluster(ray_cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the tests' cluster instead of starting one."""
    monkeypatch.setattr(raygenre.cli.tune_run, "connect", lambda address: "the tests' cluster")


def tune(*arguments: str, storage: Path | str) -> subprocess.CompletedProcess[str]:
    """Run the script in a separate process; this is slow."""
    command = [sys.executable, str(SCRIPT), "--storage", str(storage), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def tuned(script: dict[str, Any], *arguments: str, storage: Path) -> Result:
    """Run the script's command in this process."""
    app = typer.Typer()
    app.command()(script["tune"])
    return CliRunner().invoke(app, ["--storage", str(storage), *arguments])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume"], "there is no study in"),
        (["--resume", "--study", "spring"], "there is no study spring"),
        (["--data", "TRACKS", "--study", "a/b"], "letters"),
        (["--data", "TRACKS", "--split", "lists"], "--split-lists DIR must be used together"),
        (["--data", "TRACKS", "--trials", "2", "--top-k", "3"], "top_k is 3"),
        (["--data", "TRACKS", "--gpus-per-trial", "99"], "lower --gpus-per-trial"),
        (["--data", "TRACKS", "--space", "EXAMPLE", "--batch-size", "4"], "omit --batch-size"),
        (["--data", "TRACKS", "--space", "/nowhere.yaml"], "/nowhere.yaml cannot be read: No such file"),
        (["--data", "TRACKS", "--start", "dropout=0.9"], "dropout=0.9 is outside the space, which allows 0 to 0.5"),
        (["--data", "TRACKS", "--objectives", "loss,latency", "--scheduler", "asha"], "use --scheduler none"),
        (["--config", "EXAMPLE"], "line 10: unknown name dropout"),
        (["--data", "TRACKS", "--time-budget", "2"], "--time-budget '2' is not a duration"),
        (["--data", "TRACKS", "--from", "winter"], "there is no study winter in"),
        (["--data", "TRACKS", "--cpus-per-trial", "0"], "cpus per trial must be positive"),
    ],
)
def test_an_impossible_search_fails_with_a_clear_error(
    arguments: list[str],
    message: str,
    tracks_folder: Path,
    tmp_path: Path,
    script: dict[str, Any],
    on_the_cluster: None,
) -> None:
    paths = {"TRACKS": str(tracks_folder), "EXAMPLE": str(ROOT / "experiments" / "space.yaml")}
    result = tuned(script, *(paths.get(argument, argument) for argument in arguments), storage=tmp_path / "results")
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert not (tmp_path / "results" / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("folder", "ray_folder", "message"),
    [
        ("results", f"/tmp/{'x' * 76}", "set RAY_TMPDIR to a folder of your own"),
        ("a%41b", "", "not allowed in the address of its database"),
    ],
)
def test_unusable_folders_are_reported_before_tracks_are_read(
    folder: str,
    ray_folder: str,
    message: str,
    tmp_path: Path,
    script: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", ray_folder)
    result = tuned(script, "--data", "/nowhere", storage=tmp_path / folder)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert not (tmp_path / folder).exists()


@pytest.mark.integration
def test_an_error_has_no_traceback(tmp_path: Path) -> None:
    result = tune("--data", "/nowhere", storage=tmp_path / "results")
    assert result.returncode == 2, result.stdout + result.stderr
    assert "error: /nowhere is not a folder" in result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    assert not (tmp_path / "results").exists()


def test_a_pending_promotion_names_the_command_to_run(
    tracks_folder: Path,
    tmp_path: Path,
    script: dict[str, Any],
    on_the_cluster: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def pending(*arguments: object, **named: object) -> None:
        raise job.PromotionPendingError(7, "another process holds the lock")

    monkeypatch.setattr(job, "run", pending)
    result = tuned(script, "--data", str(tracks_folder), storage=tmp_path)
    assert result.exit_code == 2, result.output
    error = " ".join(result.stderr.split())
    assert "version 7 is registered, but the champion could not be changed: another process holds the lock" in error
    assert error.endswith("raygenre promote 7")


def test_a_hopeless_search_names_the_command_to_resume(
    tracks_folder: Path,
    tmp_path: Path,
    script: dict[str, Any],
    on_the_cluster: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(*arguments: object, max_failures: int, **named: object) -> None:
        raise SearchFailedError(f"the last {max_failures} trials failed for the same reason: KeyError: 'x'")

    monkeypatch.setattr(job, "run", failing)
    arguments = ("--data", str(tracks_folder), "--study", "autumn", "--max-failures", "2")
    result = tuned(script, *arguments, storage=tmp_path)
    assert result.exit_code == 2, result.output
    error = " ".join(result.stderr.split())
    assert error.startswith("error: the last 2 trials failed for the same reason: KeyError: 'x' Everything so far is")
    assert error.endswith(f"--resume --study autumn --storage {tmp_path} --max-failures 2")


def test_a_study_starts_from_an_earlier_one_with_new_limits(
    tracks: Dataset,
    tracks_folder: Path,
    tmp_path: Path,
    script: dict[str, Any],
    on_the_cluster: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    earlier = new_ledger(tmp_path / "studies", tracks, "spring")
    number = earlier.start_trial(sampler("random", seed=0, trials=9), earlier.config.distributions).number
    for epoch in (1, 2):
        earlier.report(number, epoch=epoch, loss=0.5)
    earlier.finish(number)
    searches = []

    def stopped(ledger: Ledger, *arguments: object, **named: object) -> None:
        searches.append(ledger.config)
        ledger.close()
        raise SearchFailedError("no trial completed")

    monkeypatch.setattr(job, "run", stopped)
    new = (
        "--data",
        str(tracks_folder),
        "--study",
        "autumn",
        "--from",
        "spring",
        "--time-budget",
        "2h",
        "--epochs",
        "2",
    )
    result = tuned(script, *new, storage=tmp_path)
    assert "limits        time budget 2 h" in result.stdout, result.output
    assert "warm start    first spring trial 0" in result.stdout
    tuned(script, "--resume", "--study", "autumn", "--time-budget", "3h", "--patience", "7", storage=tmp_path)
    assert [(search.time_budget, search.patience) for search in searches] == [(7200, 0), (10_800, 7)]
    assert {search.warm_start[0] for search in searches} == {"spring trial 0"}
    refused = tuned(script, "--resume", "--study", "autumn", "--from", "spring", storage=tmp_path)
    assert "--from applies only to a new study" in " ".join(refused.stderr.split())


def test_the_script_imports_no_heavy_library_at_its_start() -> None:
    program = (
        f"import runpy, sys; runpy.run_path({str(SCRIPT)!r}); print(*{{'torch', 'ray', 'mlflow'}} & sys.modules.keys())"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert result.stdout == "\n"


def test_every_option_has_a_field(script: dict[str, Any]) -> None:
    parameters = inspect.signature(script["tune"]).parameters
    assert parameters.keys() - {"context"} == {field.name for field in fields(Options)} - {"given"}


@pytest.mark.parametrize(
    ("program", "expected"), [("experiments/tune.py", "experiments/tune.py"), ("/venv/bin/raygenre", "raygenre tune")]
)
def test_the_hint_to_resume_names_the_called_program(
    program: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [program])
    command = resume_command(Options(storage="my results", seed=3, promote=False), "autumn")
    assert command.endswith(f"{expected} --resume --study autumn --storage 'my results' --no-promote")


def test_raygenre_tune_is_the_same_command(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["tune", "--resume", "--storage", str(tmp_path)])
    assert result.exit_code == 2
    assert result.stderr.startswith("error: there is no study in")
