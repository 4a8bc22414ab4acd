import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from raygenre import registry, spectrogram
from raygenre.classifier import read
from raygenre.cli import app
from raygenre.dataset import Dataset
from raygenre.search.ledger import Ledger
from raygenre.search.run_ids import trial_name
from raygenre.search.space import sampler, space
from raygenre.storage import Storage, resolve
from raygenre.synthesis import synthesise
from raygenre.tracking import Tracker
from raygenre.tracking_server import Server
from tests.conftest import FinishedSearch, new_ledger
from tests.mlflow_server import free_port, values
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


def test_sync_delivers_what_a_search_without_mlflow_kept(tracks: Dataset, tmp_path: Path) -> None:
    storage = resolve(tmp_path)
    ledger = new_ledger(storage.studies, tracks)
    number = ledger.begin(sampler("random", seed=0, trials=3), space(2)).number
    tracker = Tracker(Storage(tmp_path, f"http://127.0.0.1:{free_port()}"), ledger.folder, ledger.id)
    run = tracker.start(trial_name(number), "trial")
    for epoch in (1, 2):
        tracker.log(run, {"loss": 1 / epoch}, step=epoch)
        ledger.report(number, epoch=epoch, loss=1 / epoch)
    tracker.end(run, "FINISHED")
    ledger.finish(number)
    tracker.close()

    refused = RUNNER.invoke(app, ["sync", "--storage", str(tmp_path)])
    assert refused.exit_code == 1
    assert "another driver" in refused.stderr
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
    ledger = new_ledger(resolve(tmp_path).studies, tracks)
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
