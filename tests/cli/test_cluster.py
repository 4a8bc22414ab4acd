"""`raygenre predict` and `raygenre render` with `--address`."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

import raygenre.search.trials.cluster
from raygenre.cli import app


@pytest.fixture
def run(ray_cluster: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Return a function that runs a command on the tests' cluster instead of connecting to another one."""
    monkeypatch.setattr(raygenre.search.trials.cluster, "connect", lambda address: f"cluster at {address}")
    monkeypatch.setenv("RAYGENRE_STORAGE", str(tmp_path / "storage"))
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)))


def test_predict_on_a_cluster_writes_and_continues(
    run: Callable[..., Result], model: str, album: Path, tmp_path: Path
) -> None:
    command = ("predict", album, album / "none.wav", "--address", "auto", "--model", model, "-o", tmp_path / "out")
    first = run(*command)
    assert first.exit_code == 1, first.output
    assert first.stdout.splitlines()[0] == "ray: cluster at auto"
    assert first.stdout.splitlines()[1].startswith(f"{tmp_path / 'out'}: 4 songs: ")
    assert first.stdout.rstrip().endswith("2 failed")
    assert "rest.wav: the song is silent" in first.stderr
    assert "none.wav: No such file" in first.stderr
    table = pd.read_parquet(tmp_path / "out")  # as other programs would read it
    assert len(table) == 5
    second = run(*command)
    done = f"4 of 4 songs are already done in {tmp_path / 'out'}"
    assert second.stdout.splitlines() == [done, f"{tmp_path / 'out'}: no new songs"]
    assert second.exit_code == 0
    assert len(pd.read_parquet(tmp_path / "out")) == 5


@pytest.mark.slow
def test_render_on_a_cluster_writes_and_continues(run: Callable[..., Result], album: Path, tmp_path: Path) -> None:
    command = ("render", album.parent, "--address", "local", "-o", tmp_path / "out")
    first = run(*command)
    assert first.exit_code == 1, first.output
    assert first.stdout == f"ray: cluster at None\n2 rendered into {tmp_path / 'out'}, 1 failed\n"
    assert sorted(path.name for path in tmp_path.rglob("*.png")) == ["long.png", "short.png"]
    assert f"0 rendered into {tmp_path / 'out'}, 2 already existed, 1 failed" in run(*command).stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["predict", "s3://songs/music"], "s3://songs/music is a URL; add --address auto"),
        (["predict", "song.wav", "-o", "s3://songs/out"], "s3://songs/out is a URL; add --address auto"),
        (["predict", "song.wav", "--column", "sound"], "--column and --retry-failed require --address"),
        (["predict", "song.wav", "--address", "auto"], "--address requires --output"),
        (["predict", "song.wav", "--address", "auto", "-o", "x", "--json"], "it cannot be combined with --json"),
        (["predict", "ftp://host/songs", "--address", "auto", "-o", "x"], "unsupported storage URL ftp://host/songs"),
        (["render", "s3://songs/music", "-o", "out"], "s3://songs/music is a URL; add --address auto"),
        (["render", "song.wav", "-o", "out", "--address", "auto"], "song.wav is not a folder"),
    ],
)
def test_wrong_options_are_reported_before_ray_starts(options: list[str], message: str) -> None:
    result = CliRunner().invoke(app, options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
