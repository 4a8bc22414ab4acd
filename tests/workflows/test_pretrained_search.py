"""A complete search on pretrained features, whose champion needs neither installed weights nor internet access.

The pretrained network is small and random. It is installed only while the search runs.
"""

import io
import json
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from optuna.trial import TrialState
from typer.testing import CliRunner, Result

from raygenre.cli import app
from raygenre.data import splits
from raygenre.data.dataset import Dataset
from raygenre.evaluation.head_to_head import NotComparableError, compare_pair
from raygenre.inputs.levels import LEVELS
from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.model.seen_tracks import SeenTracks
from raygenre.pretrained import store
from raygenre.pretrained.store import PretrainedError
from raygenre.registry import embedded, promotion, versions
from raygenre.search.space.config import Resources
from raygenre.search.space.presets import HEAD
from raygenre.search.trials.phases import TextDisplay
from raygenre.tracking.server import Server
from raygenre.workflows import tune
from raygenre.workflows.rerun import TOLERANCE, largest_difference, read_record, replay
from tests.conftest import GENRES, FinishedSearch, new_ledger
from tests.helpers.musicnn import small_features
from tests.helpers.rivals import register
from tests.helpers.storages import empty_storage

Cache = Path


pytestmark = pytest.mark.slow  # one search, and the commands that use its model


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """Return a user cache in which the small network is installed."""
    folder = tmp_path_factory.mktemp("user") / "cache"
    small_features(folder / "pretrained" / store.MODEL)
    return folder


@pytest.fixture(scope="module")
def searched(
    songs: Dataset, cache: Cache, ray_cluster: None, tmp_path_factory: pytest.TempPathFactory
) -> FinishedSearch:
    storage = empty_storage(tmp_path_factory.mktemp("searched"))
    ledger = new_ledger(storage.studies.folder, songs, trials=2, epochs=2, space=HEAD.entries | {"dense": 8})
    text = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAYGENRE_CACHE", str(cache))
        outcome = tune.run(
            ledger, songs, Server(storage), resources=Resources(1, 0), promote=True, display=TextDisplay(text)
        )
    return FinishedSearch(storage, ledger, songs, outcome, text.getvalue())


@pytest.fixture
def unplugged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every connection to another machine fail."""
    connect = socket.socket.connect

    def local(self: socket.socket, address: Any) -> None:
        assert self.family == socket.AF_UNIX or address[0] in ("127.0.0.1", "::1"), f"connects to {address}"
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local)
    assert not store.is_installed()


def command(searched: FinishedSearch, *arguments: object) -> Result:
    storage = ["--storage", str(searched.storage.root)]
    result = CliRunner().invoke(app, [str(argument) for argument in (*arguments, *storage)])
    assert result.exit_code == 0, result.output
    return result


def picture_classifier(searched: FinishedSearch) -> Classifier:
    """Return a classifier on spectrograms that always predicts the first genre, with the search's split."""
    torch.manual_seed(0)
    model = GenreCNN(ModelConfig(genres=len(GENRES), widths=(4, 4, 4)))
    with torch.no_grad():
        list(model.parameters())[-1][0] = 20
    dataset, split = searched.dataset, searched.ledger.split
    train, test = (splits.indices(dataset, side) for side in (split.train, split.test))
    seen = SeenTracks.of(dataset.tracks, dataset.levels, train=train, test=test)
    return Classifier(model, dataset.genres, seen=seen)


def test_the_search_trains_heads_and_registers_the_best(searched: FinishedSearch, cache: Cache) -> None:
    assert [trial.state for trial in searched.ledger.trials] == [TrialState.COMPLETE] * 2
    assert "features" in searched.printed
    fetched = versions.fetch(searched.server)
    classifier = fetched.classifier
    assert classifier.input.recipe == "musicnn-1"
    assert classifier.input.weights_sha256 == store.read_about(cache / "pretrained" / store.MODEL).sha256
    assert fetched.facts
    assert fetched.facts.test_accuracy == searched.outcome.evaluation.accuracy
    assert classifier.origin["setting"]["network"] == "head"
    assert (searched.outcome.parameters, searched.outcome.evaluation.tracks) == (66 * 8 + 2 * 66 + 8 + 8 * 3 + 3, 6)
    client = searched.server.client
    for trial in searched.ledger.trials:
        history = client.get_metric_history(searched.ledger.trial_run(trial.number) or "", "validation_loss")
        assert {metric.step: metric.value for metric in history} == trial.intermediate_values


def test_a_finished_search_is_resumed_only_with_the_weights(
    searched: FinishedSearch, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resume() -> tune.Outcome:
        resources, display = Resources(1, 0), TextDisplay()
        ledger, dataset, storage = searched.ledger, searched.dataset, searched.storage
        return tune.run(ledger, dataset, Server(storage), resources=resources, promote=None, display=display)

    with pytest.raises(PretrainedError, match=r"MSD_musicnn is not installed in .*; run `raygenre pretrained install`"):
        resume()
    monkeypatch.setenv("RAYGENRE_CACHE", str(cache))
    again = resume()
    assert again.version == searched.outcome.version
    assert again.candidate.final.location == searched.outcome.candidate.final.location


@pytest.mark.parametrize("role", ["trial", "final"])
def test_a_run_on_features_is_replayed(
    searched: FinishedSearch, cache: Cache, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYGENRE_CACHE", str(cache))
    server = searched.server
    [run, *_] = server.client.search_runs([server.experiment_id], f"tags.role = '{role}'")
    record = read_record(server, run.info.run_id)
    rows, differences = replay(record, searched.dataset, on_start=lambda differences: None)
    assert largest_difference(record.curve, rows).difference <= TOLERANCE
    assert not differences


@pytest.mark.usefixtures("unplugged")
def test_the_champion_is_evaluated_without_the_installed_weights(searched: FinishedSearch, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    result = command(searched, "evaluate", "--data", searched.dataset.source, "-o", page, "--json", "--no-log")
    assert json.loads(result.stdout)["accuracy"] == pytest.approx(searched.outcome.evaluation.accuracy)
    text = page.read_text()
    assert "MSD_musicnn" in text
    assert "Grad-CAM" not in text
    assert "HiResCAM" not in text
    mistakes = round(6 * (1 - searched.outcome.evaluation.accuracy))
    assert text.count('alt="Spectrogram of ') == mistakes > 0
    assert "with the evidence for" not in text


@pytest.mark.usefixtures("unplugged")
def test_it_is_compared_with_a_network_on_spectrograms(searched: FinishedSearch, tracks: Dataset) -> None:
    picture = picture_classifier(searched)
    version = register(searched.storage, picture, searched.dataset)
    champion, other = (versions.fetch(searched.server, f"models:/raygenre/{number}") for number in (1, version))
    for candidate, incumbent in ((champion, other), (other, champion)):
        test = compare_pair(candidate.classifier, incumbent.classifier, searched.dataset)
        assert test.tracks == len(searched.ledger.split.test)
    assert test.both + test.only_candidate == 2  # the spectrogram network is right about songs of the first genre
    assert test.both + test.only_incumbent == round(6 * searched.outcome.evaluation.accuracy)
    decision = promotion.promote_if_better(
        searched.server, version, other.classifier, other.facts, data=lambda: searched.dataset
    )
    assert decision.comparison == test
    assert not decision.promote
    result = command(searched, "compare", "models:/raygenre/1", f"models:/raygenre/{version}")
    assert "6 tracks" in result.stdout
    seen = SeenTracks.of(tracks.tracks, tracks.levels, train=np.arange(3), test=np.arange(3, 30))
    of_images = [replace(fetched.classifier, seen=seen) for fetched in (champion, other)]
    with pytest.raises(NotComparableError, match=r"27 of 27 tracks in .* are spectrogram images"):
        compare_pair(of_images[0], of_images[1], tracks)


@pytest.mark.usefixtures("unplugged")
def test_songs_are_predicted_with_table_plot_and_cache(searched: FinishedSearch, tmp_path: Path) -> None:
    song = searched.dataset.files[0][0]
    table, plot = tmp_path / "genres.csv", tmp_path / "song.png"
    command(searched, "predict", song, "-o", table, "--plot", plot)
    assert plot.read_bytes().startswith(b"\x89PNG")
    classifier = versions.fetch(searched.server).classifier
    prediction = classifier.predict(classifier.input.read(song))
    assert f",{prediction.genre}," in table.read_text()
    [record] = map(json.loads, command(searched, "predict", song, "--json").stdout.splitlines())
    assert record["genre"] == prediction.genre
    assert (record["windows"][0]["start"], record["windows"][0]["end"]) == (0, pytest.approx(2.992))
    again = command(searched, "predict", song)
    assert "cache" in again.output


@pytest.mark.usefixtures("unplugged")
def test_pictures_are_refused_with_the_reason(searched: FinishedSearch, tracks: Dataset) -> None:
    arguments = ["predict", str(tracks.files[0][0]), "--storage", str(searched.storage.root)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "it is an image, which the pretrained network cannot process" in result.output


def model_folder(searched: FinishedSearch) -> Path:
    """Return the folder of the registered MLflow model."""
    first, *_ = embedded.read_versions(searched.storage, versions.MODEL) or []
    folder = embedded.artifact_folder(searched.storage, first)
    assert folder
    return folder


@pytest.mark.usefixtures("unplugged")
def test_mlflow_users_load_the_model_with_its_example(searched: FinishedSearch) -> None:
    model = mlflow.pyfunc.load_model(str(model_folder(searched)))
    assert len(model.predict(model.input_example)) == 1  # audio, because a picture would be refused
    song = searched.dataset.files[0][0]
    table = model.predict(pd.DataFrame({"file": [song.read_bytes()]}))
    classifier = versions.fetch(searched.server).classifier
    expected = classifier.predict(classifier.input.read(song)).probabilities
    assert table[list(GENRES)].iloc[0].to_dict() == pytest.approx(expected, abs=1e-6)


def test_the_pyfunc_loads_in_another_process(searched: FinishedSearch, tmp_path: Path) -> None:
    """The model executes its own copy of the code, as with `mlflow models serve`."""
    source = model_folder(searched)
    song = searched.dataset.files[0][0]
    script = (
        "import sys, mlflow, pandas\n"
        f"model = mlflow.pyfunc.load_model({str(source)!r})\n"
        f"answers = model.predict(pandas.DataFrame({{'file': [open({str(song)!r}, 'rb').read()]}}))\n"
        "print(answers.genre[0], answers.confidence[0], sys.modules['raygenre'].__file__)\n"
    )
    finished = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    genre, confidence, code = finished.stdout.split()
    classifier = versions.fetch(searched.server).classifier
    prediction = classifier.predict(classifier.input.read(song))
    assert genre == prediction.genre
    assert float(confidence) == pytest.approx(prediction.confidence, abs=1e-5)
    assert Path(code).is_relative_to(source)
    assert classifier.input is not LEVELS
