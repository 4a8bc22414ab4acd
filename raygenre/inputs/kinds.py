"""The kinds of input by name, and the kind that a classifier was trained on."""

from pathlib import Path
from typing import Literal, get_args

import torch

from raygenre import spectrogram
from raygenre.inputs.features import Features
from raygenre.inputs.kind import InputKind
from raygenre.inputs.levels import LEVELS
from raygenre.pretrained import features, store

InputName = Literal["levels", "features"]
INPUTS: tuple[InputName, ...] = get_args(InputName)
RECIPES = (spectrogram.RECIPE, features.RECIPE)
"""Recipes of the classifiers that this version can load."""


def installed(name: InputName) -> InputKind:
    """Return the kind of input for training, on a GPU if one is available.

    Raises:
        PretrainedError: the kind needs weights that are not installed or are damaged.
    """
    if name == "levels":
        return LEVELS
    return Features(store.load(), torch.device("cuda" if torch.cuda.is_available() else "cpu"))


def load(recipe: str, folder: Path, device: torch.device) -> InputKind:
    """Return the kind of input that the classifier in a folder uses.

    Raises:
        PretrainedError: the weights that it needs are missing or damaged.
        ValueError: this version does not support the recipe.
    """
    if recipe == spectrogram.RECIPE:
        return LEVELS
    if recipe == features.RECIPE:
        return Features.load(folder, device)
    raise ValueError(f"unknown recipe {recipe}; this version of raygenre supports {' and '.join(RECIPES)}")
