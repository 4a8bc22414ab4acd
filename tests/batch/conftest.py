"""Songs and a classifier for the batch tests."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mutagen.flac import FLAC

from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.spectrogram.image import write_png
from tests.helpers.sounds import encode, noise, tone


@pytest.fixture(scope="session")
def classifier() -> Classifier:
    torch.manual_seed(0)
    return Classifier(GenreCNN(ModelConfig(genres=3, widths=(4, 4, 4))), ("blues", "jazz", "path"))


@pytest.fixture(scope="session")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of two classes with usable songs, a silent song, images, and a text file named like a song."""
    root = tmp_path_factory.mktemp("music")
    for name in ("blues", "jazz", ".trash"):
        (root / name).mkdir()
    (root / "blues" / "long.flac").write_bytes(encode(noise(seconds=62, seed=0), "flac", "flac"))
    file = FLAC(root / "blues" / "long.flac")
    file.update({"artist": "Muddy Waters", "genre": ["Blues", "Rock"]})
    file.save()
    (root / "blues" / "short.wav").write_bytes(encode(tone(440, seconds=3)))
    (root / "jazz" / "rest.wav").write_bytes(encode(np.zeros(4 * 22_050, dtype=np.float32)))
    (root / "jazz" / "note.mp3").write_text("not music")
    (root / "jazz" / "drawn.png").write_bytes(write_png(np.full((128, 333), 9, dtype=np.uint8)))
    (root / "jazz" / "b.mp3").write_bytes(encode(noise(seconds=5, seed=1), "mp3", "libmp3lame"))
    (root / ".trash" / "c.wav").write_bytes(encode(tone(440, seconds=3)))
    (root / "jazz" / "cover.jpg").write_bytes(b"cover")
    return root
