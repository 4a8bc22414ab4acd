import json
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from raygenre.audio.synthesis import GENRES
from raygenre.cli import app
from raygenre.data.dataset import SYNTHETIC_TRACKS, Dataset
from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.model.seen_tracks import SeenTracks
from tests.conftest import FinishedSearch
from tests.helpers.mlflow_server import free_port


@pytest.fixture(scope="module")
def model(tracks: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a classifier that nearly always predicts `storm` and was tested on every third track."""
    torch.manual_seed(0)
    network = GenreCNN(ModelConfig(genres=3, widths=(4, 4, 4)))
    with torch.no_grad():
        list(network.parameters())[-1][2] = 9
    places = range(len(tracks.tracks))
    train, test = ([place for place in places if (place % 3 == 0) == tested] for tested in (False, True))
    seen = SeenTracks.of(tracks.tracks, tracks.levels, train=train, test=test)
    folder = tmp_path_factory.mktemp("models") / "storms"
    Classifier(network, tracks.genres, seen=seen).save(folder)
    return folder


def evaluate(model: Path | str, storage: Path, *options: object) -> Result:
    where = ["--storage", str(storage), "--model", str(model), "-o", str(storage / "report.html")]
    return CliRunner().invoke(app, ["evaluate", *where, *map(str, options)], env={"COLUMNS": "120"})


def test_evaluate_prints_numbers_and_writes_a_report(model: Path, tracks: Dataset, tmp_path: Path) -> None:
    faults = tmp_path / "faults.txt"
    faults.write_text(f"{tracks.tracks[0]}\n")
    result = evaluate(model, tmp_path, "--data", tracks.source, "--faults", faults, "--no-log")
    assert result.exit_code == 0, result.output
    assert "Test accuracy 30.0% on 10 tracks" in result.stdout
    assert "not faulty" in result.stdout
    assert f"Report: {tmp_path / 'report.html'}" in result.stdout
    assert "<h1>storms</h1>" in (tmp_path / "report.html").read_text()
    assert "warning: The model is no better than chance: 3 of 10 evaluated tracks" in result.stderr
    assert result.stderr.count("warning") == 1
    assert not (tmp_path / "mlflow.db").exists()


def test_training_tracks_are_warned_of(model: Path, tracks: Dataset, tmp_path: Path) -> None:
    result = evaluate(model, tmp_path, "--data", tracks.source, "--split", "all", "--no-log")
    assert "warning: The model was trained on 20 of these 30 tracks" in result.stderr
    assert "Accuracy 33.3% on 30 tracks" in result.stdout
    assert "warning" not in result.stdout


def test_json_output_has_all_numbers_and_nothing_else(model: Path, tracks: Dataset, tmp_path: Path) -> None:
    result = evaluate(model, tmp_path, "--data", tracks.source, "--json", "--no-log")
    record = json.loads(result.stdout)
    assert record["accuracy"] == 0.3
    assert record["genres"]["storm"] == {
        "tracks": 3,
        "named": 10,
        "precision": 0.3,
        "recall": 1.0,
        "f1": pytest.approx(6 / 13),
    }
    assert record["genres"]["bells"]["precision"] is None
    assert record["macro_f1"] == pytest.approx(2 / 13)
    assert record["confusion"] == [[0, 0, 4], [0, 0, 3], [0, 0, 3]]
    assert [bin_["answers"] for bin_ in record["reliability"]] == [10]
    assert list(record["answers"]) == list(tracks.tracks[::3])
    assert record["mistakes"][0]["named"] == "storm"
    assert record["own_test"]


def test_data_without_test_tracks_are_an_error(model: Path, tracks: Dataset, tmp_path: Path) -> None:
    for genre, number in (("bells", 1), ("drone", 0), ("storm", 0)):  # none of them is a test track
        (tmp_path / "music" / genre).mkdir(parents=True)
        picture = Path(tracks.source) / "images_original" / genre / f"{genre}{number:05d}.png"
        shutil.copy(picture, tmp_path / "music" / genre / f"my {genre}.png")
    result = evaluate(model, tmp_path, "--data", tmp_path / "music")
    assert result.exit_code == 2
    assert "none of the model's 10 test tracks is in" in result.stderr
    assert "--split all" in result.stderr
    result = evaluate(model, tmp_path, "--data", tmp_path / "music", "--split", "all", "--no-log")
    assert result.exit_code == 0, result.output
    assert "Accuracy 33.3% on 3 tracks" in result.stdout


def test_without_data_a_model_of_real_tracks_requires_them(
    model: Path, tracks: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = evaluate(model, tmp_path, "--no-log")
    assert result.exit_code == 2
    assert "--data PATH" in result.stderr
    monkeypatch.setenv("RAYGENRE_DATA", tracks.source)
    assert evaluate(model, tmp_path, "--no-log").exit_code == 0


def test_wrong_lists_of_tracks_are_errors(model: Path, tracks: Dataset, tmp_path: Path) -> None:
    (tmp_path / "artists.csv").write_text("polka.00001,Someone\n")
    result = evaluate(model, tmp_path, "--data", tracks.source, "--artists", tmp_path / "artists.csv")
    assert result.exit_code == 2
    assert "none of the tracks with an artist, such as polka.00001" in result.stderr
    result = evaluate(model, tmp_path, "--data", tracks.source, "--duplicates", tmp_path / "missing.txt")
    assert result.exit_code == 2
    assert "missing.txt" in result.stderr


def test_without_mlflow_the_report_is_written_and_exit_is_1(model: Path, tracks: Dataset, tmp_path: Path) -> None:
    unreachable = f"http://127.0.0.1:{free_port()}"
    result = evaluate(model, tmp_path, "--data", tracks.source, "--tracking-uri", unreachable)
    assert result.exit_code == 1
    assert f"nothing was logged to MLflow at {unreachable}: connection refused (--no-log skips this)" in result.stderr
    assert "Test accuracy" in result.stdout
    assert (tmp_path / "report.html").exists()


def test_the_report_is_logged_to_a_run_with_the_options(finished: FinishedSearch, tmp_path: Path) -> None:
    where = ["--storage", str(finished.storage.root), "-o", str(tmp_path / "report.html")]
    options = ["--data", finished.dataset.source, "--map", "Drone=drone"]
    result = CliRunner().invoke(app, ["evaluate", *options, "--json", *where])
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert record["accuracy"] == finished.outcome.evaluation.accuracy
    client = finished.server.client
    logged = Path(client.download_artifacts(record["run_id"], "report.html"))
    assert logged.read_bytes() == (tmp_path / "report.html").read_bytes()
    run = client.get_run(record["run_id"])
    assert run.data.params == {"data": finished.dataset.source, "split": "test", "map": "Drone=drone"}
    assert run.data.tags["model"] == f"raygenre/{finished.outcome.version}"


def test_a_wrong_map_names_the_genres_that_exist(model: Path, tracks: Dataset, tmp_path: Path) -> None:
    result = evaluate(model, tmp_path, "--data", tracks.source, "--map", "drone=polka", "--no-log")
    assert result.exit_code == 2
    assert "the model has no genre polka; its genres are bells, drone, storm" in result.stderr


@pytest.mark.slow
def test_without_data_a_synthetic_model_gets_synthetic_tracks(tmp_path: Path) -> None:
    genres = tuple(sorted(GENRES))
    torch.manual_seed(0)
    Classifier(GenreCNN(ModelConfig(genres=len(genres), widths=(4, 4, 4))), genres, origin={"synthetic": True}).save(
        tmp_path / "model"
    )
    result = evaluate(tmp_path / "model", tmp_path, "--split", "all", "--no-log", "--json")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert (record["data"], record["tracks"]) == ("synthetic", SYNTHETIC_TRACKS * len(genres))
    assert "It is not known which tracks the model was trained on" in result.stderr
