from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from raygenre.inputs.levels import LEVELS
from raygenre.model.self_check import TOLERANCE, SelfCheck, SelfCheckError


def two_genres(levels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the probabilities of two genres, which depend on the mean level."""
    first = levels.mean(axis=(1, 2)) / 255
    return np.stack([first, 1 - first], axis=1).astype(np.float32)


def test_examples_survive_saving_and_loading(tmp_path: Path) -> None:
    examples = SelfCheck.of(two_genres, LEVELS)
    examples.save(tmp_path / "examples.safetensors")
    loaded = SelfCheck.load(tmp_path / "examples.safetensors")
    assert np.array_equal(loaded.inputs, examples.inputs)
    assert np.array_equal(loaded.probabilities, examples.probabilities)
    loaded.verify(two_genres, LEVELS)


@pytest.mark.parametrize("change", [TOLERANCE * 1.1, -TOLERANCE * 1.1, np.nan])
def test_different_probabilities_raise_an_error(change: float) -> None:
    with pytest.raises(SelfCheckError, match="differ by"):
        SelfCheck.of(two_genres, LEVELS).verify(lambda levels: two_genres(levels) + np.float32(change), LEVELS)


def test_different_number_of_genres_raises_an_error() -> None:
    with pytest.raises(SelfCheckError, match="a different network"):
        SelfCheck.of(two_genres, LEVELS).verify(lambda levels: two_genres(levels)[:, :1], LEVELS)


def test_differences_within_the_tolerance_pass() -> None:
    SelfCheck.of(two_genres, LEVELS).verify(lambda levels: two_genres(levels) + np.float32(TOLERANCE * 0.9), LEVELS)


@pytest.mark.parametrize("shape", [(0, 128, 333), (2, 128, 300)])
def test_examples_of_another_shape_raise_an_error(shape: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "examples.safetensors"
    save_file({"levels": torch.zeros(shape, dtype=torch.uint8), "probabilities": torch.zeros(2, 2)}, path)
    with pytest.raises(ValueError, match="examples must be"):
        SelfCheck.load(path)
