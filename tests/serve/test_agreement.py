"""The command, the pyfunc model and the endpoint return equal numbers for each checkpoint."""

import json
from pathlib import Path

import httpx
import mlflow
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from raygenre.cli import app
from raygenre.data.dataset import Dataset
from raygenre.spectrogram.image import write_png
from raygenre.system.storage import Storage

TOLERANCE = 1e-5  # maximum difference between probabilities


def test_command_pyfunc_and_endpoint_agree(
    tracks: Dataset, endpoint: httpx.Client, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genres = list(tracks.genres)
    files = [write_png(levels) for levels in tracks.levels]

    options = ["--storage", str(storage.root), "-o", str(tmp_path / "report.html"), "--split", "all", "--no-log"]
    result = CliRunner().invoke(app, ["evaluate", "--data", tracks.source, "--json", *options])
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    by_command = np.array([[record["answers"][track][genre] for genre in genres] for track in tracks.tracks])

    monkeypatch.setenv("MLFLOW_TRACKING_URI", storage.tracking_uri)
    model = mlflow.pyfunc.load_model("models:/raygenre@champion")
    by_pyfunc = model.predict(pd.DataFrame({"file": files}))[genres].to_numpy()

    answers = [endpoint.post("/v1/predict", content=file).json() for file in files]
    by_endpoint = np.array([[answer["probabilities"][genre] for genre in genres] for answer in answers])

    assert by_pyfunc == pytest.approx(by_command, abs=TOLERANCE)
    assert by_endpoint == pytest.approx(by_command, abs=TOLERANCE)
    assert np.ptp(by_command, axis=0).max() > 100 * TOLERANCE  # tracks differ by far more than TOLERANCE
    for probabilities in (by_command, by_pyfunc, by_endpoint):
        assert accuracy(probabilities, tracks.labels) == record["accuracy"]


def accuracy(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    return float((probabilities.argmax(axis=1) == labels).sum() / len(labels))
