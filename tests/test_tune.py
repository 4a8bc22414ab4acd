"""The script `experiments/tune.py`: what it refuses and says. Whole searches are in test_job.py and tests/faults."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import raygenre.tune
from raygenre import job
from raygenre.search.config import Resources

ROOT = Path(__file__).parent.parent


def tune(*arguments: str, storage: Path | str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "experiments" / "tune.py"), "--storage", str(storage), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "/nowhere"], "/nowhere is not a folder"),
        (["--resume"], "there is no study in"),
        (["--resume", "--study", "spring"], "there is no study spring"),
        (["--data", "TRACKS", "--study", "a/b"], "letters"),
        (["--data", "TRACKS", "--split", "lists"], "--split-lists DIR go together"),
        (["--data", "TRACKS", "--trials", "2", "--top-k", "3"], "top_k is 3"),
        (["--data", "TRACKS", "--gpus-per-trial", "99"], "lower --gpus-per-trial"),
        (["--data", "TRACKS", "--space", "EXAMPLE", "--batch-size", "4"], "leave out --batch-size"),
        (["--data", "TRACKS", "--space", "/nowhere.yaml"], "/nowhere.yaml cannot be read (No such file"),
        (["--data", "TRACKS", "--start", "dropout=0.9"], "dropout=0.9 lies outside the space, which has 0 to 0.5"),
        (["--data", "TRACKS", "--objectives", "loss,latency", "--scheduler", "asha"], "say --scheduler none"),
        (["--config", "EXAMPLE"], "line 8: dropout is not known"),
        (["--data", "TRACKS", "--cpus-per-trial", "0"], "cpus per trial must be positive"),
    ],
)
def test_a_search_that_cannot_be_is_refused_in_one_line(
    arguments: list[str], message: str, tracks_folder: Path, tmp_path: Path
) -> None:
    known = {"TRACKS": str(tracks_folder), "EXAMPLE": str(ROOT / "experiments" / "space.yaml")}
    arguments = [known.get(argument, argument) for argument in arguments]
    result = tune(*arguments, storage=tmp_path / "results")
    assert result.returncode == 2, result.stdout + result.stderr
    assert "error: " in result.stdout
    assert message in result.stdout
    assert "Traceback" not in result.stdout + result.stderr
    assert not (tmp_path / "results" / "mlflow.db").exists()


def test_a_champion_that_cannot_be_decided_about_is_said_with_what_to_do(
    tracks_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = runpy.run_path(str(ROOT / "experiments" / "tune.py"))

    def undecided(*arguments: object, **named: object) -> None:
        raise job.UndecidedError(7, "somebody has not given the lock back")

    monkeypatch.setattr(job, "run", undecided)
    monkeypatch.setattr(raygenre.tune, "connect", lambda address: "no cluster")
    monkeypatch.setattr(raygenre.tune, "resources", lambda *asked, private: Resources(1, 0))
    app = typer.Typer()
    app.command()(script["main"])
    result = CliRunner().invoke(app, ["--data", str(tracks_folder), "--storage", str(tmp_path)])
    assert result.exit_code == 2, result.output
    said = " ".join(result.stdout.split())
    assert (
        "version 7 is registered, but the champion could not be changed: somebody has not given the lock back" in said
    )
    assert said.endswith("raygenre promote 7")


def test_the_script_speaks_before_it_imports_what_takes_seconds() -> None:
    script = str(ROOT / "experiments" / "tune.py")
    program = (
        f"import runpy, sys; runpy.run_path({script!r}); print(*{{'torch', 'ray', 'mlflow'}} & sys.modules.keys())"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert result.stdout == "\n"


def test_help_names_every_option() -> None:
    command = [sys.executable, str(ROOT / "experiments" / "tune.py"), "--help"]
    text = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env={"COLUMNS": "200"})
    for option in [
        "data",
        "study",
        "trials",
        "epochs",
        "seed",
        "split",
        "split-lists",
        "folds",
        "validation",
        "duplicates",
        "keep-duplicates",
        "sampler",
        "space",
        "search-width",
        "start",
        "objectives",
        "config",
        "scheduler",
        "cpus-per-trial",
        "gpus-per-trial",
        "max-concurrent",
        "address",
        "storage",
        "study-url",
        "tracking-uri",
        "resume",
        "top-k",
        "promote",
    ]:
        assert f"--{option}" in text.stdout
