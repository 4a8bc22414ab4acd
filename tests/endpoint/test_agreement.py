"""One checkpoint, three ways to have it evaluated on all test images: the same numbers."""

import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from raygenre.cli import app
from raygenre.spectrogram import write_png
from raygenre.splits import indices
from tests.conftest import FinishedSearch
from tests.endpoint.serving import running

TOLERANCE = 1e-5  # of a probability


def test_command_pyfunc_and_endpoint_agree(
    finished: FinishedSearch, ray_serve: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, test = finished.dataset, finished.ledger.split.test
    genres = list(dataset.genres)
    files = [write_png(dataset.levels[place]) for place in indices(dataset, test)]
    labels = dataset.labels[indices(dataset, test)]

    place = ["--storage", str(finished.storage.root), "-o", str(tmp_path / "report.html"), "--no-log"]
    result = CliRunner().invoke(app, ["evaluate", "--data", dataset.source, "--json", *place])
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    by_command = np.array([[record["answers"][track][genre] for genre in genres] for track in test])

    monkeypatch.setenv("MLFLOW_TRACKING_URI", finished.storage.tracking_uri)
    model = mlflow.pyfunc.load_model(f"models:/raygenre/{finished.outcome.version}")
    by_pyfunc = model.predict(pd.DataFrame({"file": files}))[genres].to_numpy()

    with running(finished.storage, name="agreement", prefix="/agreement") as client:
        answers = [client.post("/v1/predict", content=file).json() for file in files]
    by_endpoint = np.array([[answer["probabilities"][genre] for genre in genres] for answer in answers])
    assert {answer["model"]["version"] for answer in answers} == {str(finished.outcome.version)}

    assert by_pyfunc == pytest.approx(by_command, abs=TOLERANCE)
    assert by_endpoint == pytest.approx(by_command, abs=TOLERANCE)
    assert np.ptp(by_command, axis=0).max() > 100 * TOLERANCE  # the tracks are told apart by far more than that
    for found in (by_command, by_pyfunc, by_endpoint):
        assert accuracy(found, labels) == record["accuracy"] == finished.outcome.evaluation.accuracy


def accuracy(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    return float((probabilities.argmax(axis=1) == labels).sum() / len(labels))
