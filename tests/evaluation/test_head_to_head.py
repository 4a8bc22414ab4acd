"""Two classifiers are compared on a data set with the classifiers' genres."""

from pathlib import Path

import numpy as np

from raygenre.evaluation import head_to_head
from raygenre.spectrogram.image import write_png


def test_folders_are_merged_if_the_model_was_trained_so(tmp_path: Path) -> None:
    for number, genre in enumerate(("Rock", "Rock", "rock", "jazz")):
        (tmp_path / "data" / genre).mkdir(parents=True, exist_ok=True)
        levels = np.full((128, 333), 1 + number, dtype=np.uint8)
        (tmp_path / "data" / genre / f"{number}.png").write_bytes(write_png(levels))
    for genres in (("Rock", "jazz"), ("Rock", "jazz", "rock")):
        dataset = head_to_head.tested_data(None, tmp_path / "data", genres=genres, cache=tmp_path / "cache")
        assert dataset.genres == genres
