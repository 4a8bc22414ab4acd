"""Songs and a model for the command tests."""

from pathlib import Path

import numpy as np
import pytest
import torch

from raygenre.audio.synthesis import synthesise
from raygenre.model.calibration import Calibration
from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig
from tests.helpers.sounds import encode, tone


@pytest.fixture(scope="session")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("songs") / "bells.flac"
    path.write_bytes(encode(synthesise("bells", seed=50), "flac", "flac"))
    return path


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the folder of an untrained classifier."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "untrained"
    Classifier(GenreCNN(ModelConfig(genres=3, widths=(4, 4, 4))), ("bells", "drone", "storm")).save(folder)
    return str(folder)


@pytest.fixture(scope="session")
def synthetic_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the folder of a classifier that was trained on synthetic tracks and is uncertain about every song."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "synthetic"
    network = GenreCNN(ModelConfig(genres=3, widths=(4, 4, 4)))
    Classifier(network, ("bells", "drone", "storm"), Calibration(1.0, 1.0), {"synthetic": True}).save(folder)
    return str(folder)


@pytest.fixture(scope="session")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a long, a short and a silent song, and a playlist."""
    root = tmp_path_factory.mktemp("music") / "album"
    root.mkdir()
    parts = [synthesise("bells", seed=1), synthesise("storm", seed=1)]
    (root / "long.flac").write_bytes(encode(np.concatenate(parts), "flac", "flac"))
    (root / "short.wav").write_bytes(encode(tone(440, seconds=3)))
    (root / "rest.wav").write_bytes(encode(np.zeros(4 * 22_050, dtype=np.float32)))
    (root / "list.m3u").write_text("long.flac\nhttps://host/radio\n")
    return root
