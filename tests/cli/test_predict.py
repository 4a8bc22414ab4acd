"""`raygenre predict`."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from raygenre.cli import app
from raygenre.model.calibration import Calibration
from raygenre.model.classifier import Classifier
from raygenre.registry import versions
from raygenre.spectrogram.song import read
from raygenre.workflows.timeline import percent
from tests.conftest import FinishedSearch

RUNNER = CliRunner()


def test_predict_prints_the_librarys_prediction(finished: FinishedSearch, song: Path) -> None:
    result = RUNNER.invoke(app, ["predict", "--json", "--storage", str(finished.storage.root), str(song)])
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    expected = versions.fetch(finished.storage).classifier.predict(read(song))
    assert record["genre"] == expected.genre
    assert record["probabilities"] == pytest.approx(expected.probabilities, abs=1e-6)
    assert record["model"] == f"raygenre/{finished.outcome.version}"


def test_predict_lists_unusable_files_and_continues(finished: FinishedSearch, song: Path, tmp_path: Path) -> None:
    (tmp_path / "note.mp3").write_text("not music")
    files = [str(tmp_path / "note.mp3"), str(tmp_path / "missing.wav"), str(song)]
    result = RUNNER.invoke(app, ["predict", "--storage", str(finished.storage.root), *files])
    assert result.exit_code == 1
    assert "bells.flac" in result.stdout
    assert "note.mp3: the file is not audio" in result.stderr
    assert "missing.wav" in result.stderr


def predict(*arguments: object) -> Result:
    return RUNNER.invoke(app, ["predict", *map(str, arguments)])


def test_predict_prints_the_genres_of_a_long_song_over_time(model: str, album: Path) -> None:
    result = predict("--model", model, album / "list.m3u")
    assert result.exit_code == 0, result.output
    assert re.search(r"^long\.flac: 0:00–\d:\d\d (bells|drone|storm) \d+ %", result.stdout, re.MULTILINE)
    assert "skipped:" in result.stderr
    assert "https://host/radio" in result.stderr


def test_predict_reports_a_silent_song(model: str, album: Path) -> None:
    result = predict("--model", model, "--json", album)
    assert result.exit_code == 1
    long, rest, short = map(json.loads, result.stdout.splitlines())
    assert rest == {
        "file": str(album / "rest.wav"),
        "error": "the song is silent from beginning to end",
        "model": "untrained",
    }
    assert "rest.wav: the song is silent" in result.stderr
    assert [window["start"] for window in long["windows"]] == [0, pytest.approx(30, abs=0.1)]
    assert set(short) == {"file", "genre", "confidence", "uncertain", "probabilities", "windows", "model"}


@pytest.mark.parametrize(("threshold", "uncertain"), [(1.0, True), (0.0, False)])
def test_predict_marks_uncertain_songs(
    model: str, album: Path, tmp_path: Path, threshold: float, uncertain: bool
) -> None:
    calibrated = replace(Classifier.load(Path(model)), calibration=Calibration(1.0, threshold))
    calibrated.save(tmp_path / "calibrated")
    shares = calibrated.predict(read(album / "short.wav")).probabilities
    (first, most), *others = sorted(shares.items(), key=lambda item: -item[1])
    result = predict("--model", tmp_path / "calibrated", album / "short.wav")
    rest = ", ".join(f"{genre} {percent(share)}" for genre, share in others)
    assert re.search(rf"{first} +{percent(most)} +{rest}", result.stdout.replace(f"{first} uncertain", first))
    assert (f"{first} uncertain" in result.stdout) == uncertain


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_predict_writes_a_table(model: str, album: Path, tmp_path: Path, suffix: str) -> None:
    table = tmp_path / f"songs{suffix}"
    result = predict("--model", model, album, "-o", table)
    assert result.exit_code == 1
    rows = pd.read_csv(table) if suffix == ".csv" else pd.read_parquet(table)
    assert [Path(path).name for path in rows["path"]] == ["long.flac", "rest.wav", "short.wav"]
    assert rows["windows"].tolist()[0] == 2
    assert rows["error"].tolist()[1] == "the song is silent from beginning to end"
    assert [path.name for path in tmp_path.iterdir()] == [table.name]


def test_predict_plots_a_song(model: str, album: Path, tmp_path: Path) -> None:
    result = predict("--model", model, album / "long.flac", "--plot", tmp_path / "long.png")
    assert result.exit_code == 0, result.output
    with Image.open(tmp_path / "long.png") as image:
        assert image.size == (1200, 500)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-o", "songs.txt"], "the suffix .csv or .parquet"),
        (["--plot", "song.jpg"], "the suffix .png"),
        (["--model", "nowhere"], "nowhere cannot be loaded"),
    ],
)
def test_predict_rejects_wrong_options(album: Path, options: list[str], message: str) -> None:
    result = predict(album / "short.wav", *options)
    assert result.exit_code == 2
    assert message in result.stderr


def test_predict_plots_exactly_one_song(album: Path) -> None:
    result = predict(album, "--plot", "songs.png")
    assert result.exit_code == 2
    assert "--plot takes exactly one song, not 3" in result.stderr


def test_predict_without_a_champion_names_make_tune(song: Path, tmp_path: Path) -> None:
    result = RUNNER.invoke(app, ["predict", "--storage", str(tmp_path), str(song)])
    assert result.exit_code == 2
    assert "make tune" in result.stderr
    assert not list(tmp_path.iterdir())
