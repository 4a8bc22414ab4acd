from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from raygenre.model.self_check import TOLERANCE, SelfCheck, SelfCheckError


def answers(levels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Two genres, told apart by the mean level."""
    first = levels.mean(axis=(1, 2)) / 255
    return np.stack([first, 1 - first], axis=1).astype(np.float32)


def test_examples_survive_their_file(tmp_path: Path) -> None:
    examples = SelfCheck.of(answers)
    examples.save(tmp_path / "examples.safetensors")
    loaded = SelfCheck.load(tmp_path / "examples.safetensors")
    assert np.array_equal(loaded.levels, examples.levels)
    assert np.array_equal(loaded.probabilities, examples.probabilities)
    loaded.check(answers)


@pytest.mark.parametrize("change", [TOLERANCE * 1.1, -TOLERANCE * 1.1, np.nan])
def test_other_answers_are_noticed(change: float) -> None:
    with pytest.raises(SelfCheckError, match="differ by"):
        SelfCheck.of(answers).check(lambda levels: answers(levels) + np.float32(change))


def test_answers_about_other_genres_are_noticed() -> None:
    with pytest.raises(SelfCheckError, match="another network"):
        SelfCheck.of(answers).check(lambda levels: answers(levels)[:, :1])


def test_a_small_difference_of_two_machines_is_none() -> None:
    SelfCheck.of(answers).check(lambda levels: answers(levels) + np.float32(TOLERANCE * 0.9))


@pytest.mark.parametrize("shape", [(0, 128, 333), (2, 128, 300)])
def test_examples_of_another_shape_are_not_loaded(shape: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "examples.safetensors"
    save_file({"levels": torch.zeros(shape, dtype=torch.uint8), "probabilities": torch.zeros(2, 2)}, path)
    with pytest.raises(ValueError, match="examples must be"):
        SelfCheck.load(path)
