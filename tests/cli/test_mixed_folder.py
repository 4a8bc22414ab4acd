"""`predict`, `evaluate` and `--data` treat folders with clutter and broken files the same way."""

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from benchmarks.mixed_folder import MixedFolder, fill_folder
from raygenre.cli import app

IGNORED = "ignored: 1 .jpg, 1 .m3u, 1 .png, 1 @eaDir, 1 Thumbs.db"
LEFT_OUT = "left out: 1 .als (not music; -v lists them)"


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, MixedFolder]:
    root = tmp_path_factory.mktemp("mixed")
    return root, fill_folder(root, 30)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_predict_loses_no_file_of_a_mixed_folder(model: str, mixed: tuple[Path, MixedFolder], tmp_path: Path) -> None:
    root, files = mixed
    table = tmp_path / "songs.csv"
    options = ["--model", model, "--storage", tmp_path, "--jobs", "1"]
    result = run("predict", root, "-o", table, "-v", *options)
    assert result.exit_code == 1
    rows = pd.read_csv(table).set_index("path")["error"]
    assert set(rows.index) == {str(path) for path in files.songs | files.broken}
    assert set(rows.index[rows.notna()]) == {str(path) for path in files.broken}
    assert files.files == len(rows) + 5 + 1 == 30
    lines = result.stderr.splitlines()
    assert lines[:2] == [IGNORED, LEFT_OUT]
    [other] = files.others
    assert lines[2].startswith(f"left out: {other}: the file is neither a PNG nor audio: it is a gzip archive")


def test_evaluate_skips_the_same_files_as_predict(model: str, mixed: tuple[Path, MixedFolder], tmp_path: Path) -> None:
    root, files = mixed
    options = ["--model", model, "--storage", tmp_path, "-o", tmp_path / "report.html", "--split", "all", "--no-log"]
    result = run("evaluate", "--data", root, "--json", *options)
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.stdout)["answers"]) == len(files.songs)
    lines = result.stderr.splitlines()
    assert lines[:3] == [IGNORED, LEFT_OUT, "4 unusable files were skipped:"]
    assert {line.partition(":")[0].strip() for line in lines[3:7]} == {
        path.relative_to(root).as_posix() for path in files.broken
    }


def test_predict_exits_with_1_if_a_folder_cannot_be_read(model: str, tmp_path: Path, album: Path) -> None:
    music = tmp_path / "music"
    music.mkdir()
    (music / "song.wav").write_bytes((album / "short.wav").read_bytes())
    options = ["--model", model, "--storage", tmp_path / "results", "--json", "--no-cache"]
    assert run("predict", music, *options).exit_code == 0
    (music / "loop").symlink_to("loop")  # instead of a folder without permissions, which root could read
    result = run("predict", music, *options)
    assert result.exit_code == 1
    assert json.loads(result.stdout)["file"] == str(music / "song.wav")
    loop = f"error: {music / 'loop'}: the file cannot be read: Too many levels of symbolic links"
    assert result.stderr.splitlines() == [loop]
