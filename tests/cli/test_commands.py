import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from raygenre import spectrogram
from raygenre.audio.synthesis import synthesise
from raygenre.cli import app
from raygenre.data.dataset import Dataset
from raygenre.model.calibration import Calibration
from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.registry import champion, versions
from raygenre.search.space.samplers import sampler
from raygenre.search.space.space import default_space
from raygenre.search.study.ledger import Ledger
from raygenre.search.study.mlflow_ids import trial_name
from raygenre.spectrogram.song import read
from raygenre.system.storage import Storage, resolve
from raygenre.tracking.server import Server
from raygenre.tracking.tracker import Tracker
from raygenre.workflows.timeline import percent
from tests.conftest import FinishedSearch, new_ledger
from tests.helpers.mlflow_server import free_port, values
from tests.helpers.sounds import encode, tone
from tests.helpers.storages import empty_storage

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
    expected = versions.fetch(finished.storage).classifier.predict(read(song))
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


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a classifier that has learned nothing."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "untrained"
    Classifier(GenreCNN(ModelConfig(genres=3, widths=(4, 4, 4))), ("bells", "drone", "storm")).save(folder)
    return str(folder)


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A long song, a short one, a silent one, and a playlist."""
    root = tmp_path_factory.mktemp("music") / "album"
    root.mkdir()
    parts = [synthesise("bells", seed=1), synthesise("storm", seed=1)]
    (root / "long.flac").write_bytes(encode(np.concatenate(parts), "flac", "flac"))
    (root / "short.wav").write_bytes(encode(tone(440, seconds=3)))
    (root / "rest.wav").write_bytes(encode(np.zeros(4 * 22_050, dtype=np.float32)))
    (root / "list.m3u").write_text("long.flac\nhttps://host/radio\n")
    return root


def predict(*arguments: object) -> Result:
    return RUNNER.invoke(app, ["predict", *map(str, arguments)])


def test_predict_tells_a_long_song_over_time(model: str, album: Path) -> None:
    result = predict("--model", model, album / "list.m3u")
    assert result.exit_code == 0, result.output
    assert re.search(r"^long\.flac: 0:00–\d:\d\d (bells|drone|storm) \d+ %", result.stdout, re.MULTILINE)
    assert "skipped:" in result.stderr
    assert "https://host/radio" in result.stderr


def test_predict_answers_silence_as_what_it_is(model: str, album: Path) -> None:
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
def test_predict_marks_what_is_uncertain(
    model: str, album: Path, tmp_path: Path, threshold: float, uncertain: bool
) -> None:
    judged = replace(Classifier.load(Path(model)), calibration=Calibration(1.0, threshold))
    judged.save(tmp_path / "judged")
    shares = judged.predict(read(album / "short.wav")).probabilities
    (first, most), *others = sorted(shares.items(), key=lambda item: -item[1])
    result = predict("--model", tmp_path / "judged", album / "short.wav")
    rest = ", ".join(f"{genre} {percent(share)}" for genre, share in others)
    assert re.search(rf"{first} +{percent(most)} +{rest}", result.stdout.replace(f"{first} uncertain", first))
    assert (f"{first} uncertain" in result.stdout) == uncertain


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_predict_writes_a_table(model: str, album: Path, tmp_path: Path, suffix: str) -> None:
    table = tmp_path / f"songs{suffix}"
    result = predict("--model", model, album, "-o", table)
    assert result.exit_code == 1
    found = pd.read_csv(table) if suffix == ".csv" else pd.read_parquet(table)
    assert [Path(path).name for path in found["path"]] == ["long.flac", "rest.wav", "short.wav"]
    assert found["windows"].tolist()[0] == 2
    assert found["error"].tolist()[1] == "the song is silent from beginning to end"
    assert [path.name for path in tmp_path.iterdir()] == [table.name]


def test_predict_draws_a_song(model: str, album: Path, tmp_path: Path) -> None:
    result = predict("--model", model, album / "long.flac", "--plot", tmp_path / "long.png")
    assert result.exit_code == 0, result.output
    with Image.open(tmp_path / "long.png") as image:
        assert image.size == (1200, 500)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["-o", "songs.txt"], "the suffix .csv or .parquet"),
        (["--plot", "song.jpg"], "the suffix .png"),
        (["--model", "nowhere"], "nowhere cannot be loaded"),
    ],
)
def test_predict_refuses_what_it_cannot_do(album: Path, options: list[str], complaint: str) -> None:
    result = predict(album / "short.wav", *options)
    assert result.exit_code == 2
    assert complaint in result.stderr


def test_predict_draws_one_song_at_a_time(album: Path) -> None:
    result = predict(album, "--plot", "songs.png")
    assert result.exit_code == 2
    assert "draws one song, and here are 3" in result.stderr


def test_predict_without_a_champion_says_what_to_run(song: Path, tmp_path: Path) -> None:
    result = RUNNER.invoke(app, ["predict", "--storage", str(tmp_path), str(song)])
    assert result.exit_code == 2
    assert "make tune" in result.stderr
    assert not list(tmp_path.iterdir())


def render(source: Path, output: Path, *options: str) -> Result:
    return RUNNER.invoke(app, ["render", str(source), "-o", str(output), *options])


def test_render_makes_a_data_set_of_a_tree(album: Path, tmp_path: Path) -> None:
    stray = album.parent / "stray.wav"
    stray.write_bytes((album / "short.wav").read_bytes())
    first = render(album.parent, tmp_path / "out", "--jobs", "1")
    assert first.exit_code == 1
    assert "2 drawn" in first.stdout
    assert "rest.wav: the song is silent" in first.stderr
    assert "stray.wav: it lies in no <class>/ folder" in first.stderr
    folder = tmp_path / "out" / "images_original" / "album"
    assert sorted(path.name for path in folder.iterdir()) == ["long.png", "short.png"]
    again = render(album.parent, tmp_path / "out")
    assert "0 drawn" in again.stdout
    assert "2 were there already" in again.stdout


def test_render_refuses_what_it_cannot_do(song: Path, album: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for source, output, complaint in (
        (song, tmp_path / "out.jpg", "the suffix .png"),
        (tmp_path / "none.mp3", tmp_path / "out.png", "is not there"),
        (album, tmp_path / "out", "give the folder above it"),
        (album.parent, tmp_path / "file", "is a file"),
        (song, tmp_path / "nowhere" / "out.png", "cannot be written"),
    ):
        result = render(source, output)
        assert result.exit_code == 2
        assert complaint in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


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


def test_sync_delivers_what_a_search_without_mlflow_kept(tracks: Dataset, tmp_path: Path) -> None:
    storage = empty_storage(tmp_path)
    ledger = new_ledger(storage.studies.folder, tracks)
    number = ledger.start_trial(sampler("random", seed=0, trials=3), default_space(2)).number
    tracker = Tracker(Storage(tmp_path, f"http://127.0.0.1:{free_port()}"), ledger.folder, ledger.id)
    run = tracker.start(trial_name(number), "trial")
    for epoch in (1, 2):
        tracker.log(run, {"loss": 1 / epoch}, step=epoch)
        ledger.report(number, epoch=epoch, loss=1 / epoch)
    tracker.end(run, "FINISHED")
    ledger.finish(number)
    tracker.close()

    refused = RUNNER.invoke(app, ["sync", "--storage", str(tmp_path)])
    assert refused.exit_code == 0
    assert "another driver" in refused.stdout
    assert "delivers them itself" in refused.stdout
    away = f"http://127.0.0.1:{free_port()}"
    ledger.close()

    result = RUNNER.invoke(app, ["sync", "--storage", str(tmp_path), "--study", "study"])
    assert result.exit_code == 0, result.output
    assert "study: 4 entries delivered" in result.stdout
    server = Server(storage)
    [found] = server.client.search_runs([server.experiment_id])
    assert found.info.status == "FINISHED"
    assert values(server, found.info.run_id, "loss") == [(1, 1.0), (2, 0.5)]
    again = Ledger.open(storage.studies, "study", url=None)
    assert again.trial_run(number) == found.info.run_id
    again.close()

    result = RUNNER.invoke(app, ["sync", "--storage", str(tmp_path), "--tracking-uri", away])
    assert result.exit_code == 0
    assert "Nothing waits" in result.stdout


def test_sync_says_when_mlflow_is_still_away(tracks: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["raygenre.cli.sync"], "PATIENCE", 0.5)
    away = f"http://127.0.0.1:{free_port()}"
    ledger = new_ledger(resolve(tmp_path).studies.folder, tracks)
    tracker = Tracker(Storage(tmp_path, away), ledger.folder, ledger.id)
    tracker.start("study", "search")
    tracker.close()
    ledger.close()
    result = RUNNER.invoke(app, ["sync", "--storage", str(tmp_path), "--tracking-uri", away])
    assert result.exit_code == 1
    assert "connection refused" in result.stderr
    assert "1 entries wait on" in result.stderr
    unknown = RUNNER.invoke(app, ["sync", "--storage", str(tmp_path), "--study", "spring"])
    assert unknown.exit_code == 2
    assert "known: study" in unknown.stderr


def test_rollback_names_both_versions(tmp_path: Path) -> None:
    storage = empty_storage(tmp_path)
    client = Server(storage).client
    client.create_registered_model("raygenre")
    for version in (1, 2):
        client.create_model_version("raygenre", str(tmp_path / "nothing"))
        champion.promote(storage, version)
    result = RUNNER.invoke(app, ["rollback", "--storage", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert result.stdout == "raygenre version 1 is the champion again; it was version 2\n"
    again = RUNNER.invoke(app, ["rollback", "--storage", str(tmp_path)])
    assert again.exit_code == 2
    assert "first champion" in again.stderr


def test_rollback_without_a_registry_makes_none(tmp_path: Path) -> None:
    assert RUNNER.invoke(app, ["rollback", "--storage", str(tmp_path)]).exit_code == 2
    assert not list(tmp_path.iterdir())
