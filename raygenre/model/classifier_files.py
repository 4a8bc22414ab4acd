"""The files of a classifier: names, format, checksum, and checks of their content.

The checksum covers everything that determines a prediction, so that no part can be replaced unnoticed.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from raygenre.errors import RaygenreError
from raygenre.inputs.kinds import RECIPES
from raygenre.system.hashing import sha256_of

FORMAT = 4
WEIGHTS, ABOUT = "weights.safetensors", "classifier.json"

_FORMAT_3 = 3  # used by earlier releases; its checksum covers only the weights
_DECISIVE = ("model", "genres", "calibration", "recipe", "extractor_sha256")
"""Entries of classifier.json that, with the weights, determine a prediction; the last exists only for features."""


class ClassifierError(RaygenreError, ValueError):
    """A folder contains no classifier that this version can load, or a classifier fails its self-check."""


def checksum(about: Mapping[str, Any], weights: str) -> str:
    """Return the SHA-256 of everything that determines a prediction, given the entries of classifier.json.

    Args:
        weights: SHA-256 of the weights file.
    """
    decisive = {name: about[name] for name in _DECISIVE if name in about}
    return hashlib.sha256(json.dumps([decisive, weights], sort_keys=True).encode()).hexdigest()


def check_saved(about: Mapping[str, Any], folder: Path) -> None:
    """Check that this version can load the files, and that the files were saved together.

    Raises:
        ClassifierError: one of these conditions is not met; the message states which one.
        OSError: the weights cannot be read.
    """
    written = about["format"]
    if written not in (FORMAT, _FORMAT_3) or about["recipe"] not in RECIPES:
        raise ClassifierError(
            f"it has format {written} and recipe {about['recipe']}; this version of raygenre loads only formats "
            f"{_FORMAT_3} and {FORMAT} and recipes {' and '.join(RECIPES)}"
        )
    if problem := genres_problem(about["genres"]):
        raise ClassifierError(problem)
    weights = sha256_of(folder / WEIGHTS)
    if weights != about["sha256" if written == _FORMAT_3 else "weights_sha256"]:
        raise ClassifierError(f"the weights are not those described in {ABOUT}: their SHA-256 differs")
    if written == FORMAT and checksum(about, weights) != about["sha256"]:
        raise ClassifierError(
            f"the genres, calibration or network in {ABOUT} are not those that were saved: their SHA-256 "
            "differs; restore the file from the registry or a backup"
        )
    # The checksum of format 3 does not cover the genres. However, searches also record the number of training tracks of
    # each genre, in the order in which the network was trained.
    counted = list(dict(about["origin"]).get("train_counts", ()))
    if written == _FORMAT_3 and counted != about["genres"] and set(counted) == set(about["genres"]):
        order = ", ".join(map(repr, counted))
        raise ClassifierError(f"the genres in {ABOUT} are not in the order in which the network was trained: {order}")


def check_finite(weights: Mapping[str, torch.Tensor]) -> None:
    """Check that all weights are finite numbers.

    Raises:
        ClassifierError: some weights are not finite; the message names the first tensor that contains such weights.
    """
    for name, tensor in weights.items():
        if wrong := int((~tensor.isfinite()).sum()):
            raise ClassifierError(f"{wrong} of {tensor.numel()} values of the tensor {name} are not finite numbers")


def genres_problem(genres: object) -> str:
    """Return why these values cannot be a classifier's genres, or an empty string if they can."""
    if not isinstance(genres, list | tuple) or not genres:
        return f"the genres must be a list of names, not {genres!r}"
    for genre in genres:
        if not isinstance(genre, str) or not genre.strip():
            return f"each genre must be a name, not {genre!r}"
        if genres.count(genre) > 1:
            return f"the genre {genre!r} is listed {genres.count(genre)} times"
    return ""
