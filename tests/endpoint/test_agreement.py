"""One checkpoint, three ways to have it evaluated on all test images: the same numbers."""

import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from typer.testing import CliRunner

from raygenre import alias
from raygenre.classifier import Classifier
from raygenre.cli import app
from raygenre.dataset import Dataset
from raygenre.model import GenreCNN, ModelConfig
from raygenre.seen import Seen
from raygenre.spectrogram import write_png
from tests import rivals
from tests.endpoint.serving import running
from tests.storages import empty_storage

TOLERANCE = 1e-5  # of a probability


def test_command_pyfunc_and_endpoint_agree(
    tracks: Dataset, ray_serve: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, genres = empty_storage(tmp_path / "storage"), list(tracks.genres)
    test = list(range(0, len(tracks.tracks), 5))
    train = [place for place in range(len(tracks.tracks)) if place not in test]
    torch.manual_seed(0)
    network = GenreCNN(ModelConfig(genres=len(genres), widths=(8, 8, 8)))
    seen = Seen.of(tracks.tracks, tracks.levels, train=train, test=test)
    version = rivals.register(storage, Classifier(network, tracks.genres, seen=seen), tracks)
    alias.promote(storage, version)
    files = [write_png(tracks.levels[place]) for place in test]
    labels = tracks.labels[test]

    options = ["--storage", str(storage.root), "-o", str(tmp_path / "report.html"), "--no-log"]
    result = CliRunner().invoke(app, ["evaluate", "--data", tracks.source, "--json", *options])
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    by_command = np.array([[record["answers"][tracks.tracks[place]][genre] for genre in genres] for place in test])

    monkeypatch.setenv("MLFLOW_TRACKING_URI", storage.tracking_uri)
    model = mlflow.pyfunc.load_model(f"models:/raygenre/{version}")
    by_pyfunc = model.predict(pd.DataFrame({"file": files}))[genres].to_numpy()

    with running(storage, name="agreement", prefix="/agreement") as client:
        answers = [client.post("/v1/predict", content=file).json() for file in files]
    by_endpoint = np.array([[answer["probabilities"][genre] for genre in genres] for answer in answers])
    assert {answer["model"]["version"] for answer in answers} == {str(version)}

    assert by_pyfunc == pytest.approx(by_command, abs=TOLERANCE)
    assert by_endpoint == pytest.approx(by_command, abs=TOLERANCE)
    assert np.ptp(by_command, axis=0).max() > 100 * TOLERANCE  # the tracks are told apart by far more than that
    for found in (by_command, by_pyfunc, by_endpoint):
        assert accuracy(found, labels) == record["accuracy"]


def accuracy(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    return float((probabilities.argmax(axis=1) == labels).sum() / len(labels))
