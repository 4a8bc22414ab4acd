import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from raygenre import registry, spectrogram
from raygenre.classifier import read
from raygenre.cli import app
from raygenre.storage import resolve
from raygenre.synthesis import synthesise
from raygenre.tracking import Tracker
from tests.conftest import FinishedSearch
from tests.sounds import encode

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("songs") / "bells.flac"
    path.write_bytes(encode(synthesise("bells", seed=50), "flac", "flac"))
    return path


def test_predict_says_what_the_library_says(finished: FinishedSearch, song: Path) -> None:
    result = RUNNER.invoke(app, ["predict", "--json", "--storage", str(finished.storage.root), str(song)])
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    expected = registry.fetch(finished.storage).classifier.predict(read(song))
    assert answer["genre"] == expected.genre
    assert answer["probabilities"] == pytest.approx(expected.probabilities, abs=1e-6)
    assert answer["model"] == f"raygenre/{finished.outcome.version}"


def test_predict_goes_on_after_a_bad_file_and_says_so_in_the_end(
    finished: FinishedSearch, song: Path, tmp_path: Path
) -> None:
    (tmp_path / "note.mp3").write_text("not music")
    files = [str(tmp_path / "note.mp3"), str(tmp_path / "missing.wav"), str(song)]
    result = RUNNER.invoke(app, ["predict", "--storage", str(finished.storage.root), *files])
    assert result.exit_code == 1
    assert "bells.flac" in result.stdout
    assert "note.mp3: the file is not audio" in result.stderr
    assert "missing.wav" in result.stderr


def test_predict_without_a_champion_says_what_to_run(song: Path, tmp_path: Path) -> None:
    result = RUNNER.invoke(app, ["predict", "--storage", str(tmp_path), str(song)])
    assert result.exit_code == 2
    assert "make tune" in result.stderr
    assert not list(tmp_path.iterdir())


def test_render_draws_the_datasets_picture(song: Path, tmp_path: Path) -> None:
    result = RUNNER.invoke(app, ["render", str(song), "-o", str(tmp_path / "bells.png")])
    assert result.exit_code == 0, result.output
    assert np.array_equal(spectrogram.read_png(tmp_path / "bells.png"), read(song).levels[0])
    assert [path.name for path in tmp_path.iterdir()] == ["bells.png"]


def test_render_of_what_is_no_audio_writes_nothing(tmp_path: Path) -> None:
    source = tmp_path / "note.mp3"
    source.write_text("not music")
    result = RUNNER.invoke(app, ["render", str(source), "-o", str(tmp_path / "out.png")])
    assert result.exit_code == 2
    assert "note.mp3" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["note.mp3"]


def test_rollback_names_both_versions(tmp_path: Path) -> None:
    storage = resolve(tmp_path)
    client = Tracker(storage).client
    client.create_registered_model("raygenre")
    for version in (1, 2):
        client.create_model_version("raygenre", str(tmp_path / "nothing"))
        registry.promote(storage, version)
    result = RUNNER.invoke(app, ["rollback", "--storage", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert result.stdout == "raygenre version 1 is the champion again; it was version 2\n"
    again = RUNNER.invoke(app, ["rollback", "--storage", str(tmp_path)])
    assert again.exit_code == 2
    assert "first champion" in again.stderr


def test_rollback_without_a_registry_makes_none(tmp_path: Path) -> None:
    assert RUNNER.invoke(app, ["rollback", "--storage", str(tmp_path)]).exit_code == 2
    assert not list(tmp_path.iterdir())
