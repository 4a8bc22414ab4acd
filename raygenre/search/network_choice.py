"""Decides whether a search trains networks on spectrograms or on pretrained features."""

from collections.abc import Mapping
from typing import Any

from raygenre.data.dataset import Dataset
from raygenre.data.inputs import images
from raygenre.pretrained import store
from raygenre.pretrained.store import PretrainedError
from raygenre.search.options import OptionError, Options
from raygenre.search.space.choices import NetworkName
from raygenre.search.space.presets import HEAD_NAMES
from raygenre.search.space.space import Entry, SpaceError

_ONLY_CNN = ("preset", "search_width", "augmentation")


def choose_network(options: Options, tracks: Dataset, base: Mapping[str, Any] | None = None) -> tuple[NetworkName, str]:
    """Return the network for a new search, and a note that explains the choice to the user.

    Args:
        base: fields of run.yaml from an earlier search, whose network is reused.

    Raises:
        OptionError: the options are mutually exclusive, or pretrained features are requested for images.
        PretrainedError: the pretrained network is not installed.
    """
    if base:
        if "model" in options.given:
            raise OptionError("--config already specifies the network; omit --model")
        if base.get("space", {}).get("network") != "head":
            return "cnn", ""
        _check_usable(options, tracks, "--config")
        return "head", ""
    if options.model == "cnn":
        return "cnn", ""
    if options.model == "pretrained":
        _check_usable(options, tracks, "--model pretrained")
        return "head", f"a network on the features of {store.MODEL}"
    if tracks.synthetic:
        return "cnn", ""
    spectrograms = "a network on spectrograms, because"
    if given := [name for name in (*_ONLY_CNN, "space", "start") if name in options.given]:
        return "cnn", f"{spectrograms} {_option(given[0])} is set"
    if which := _images(tracks):
        return "cnn", f"{spectrograms} {which} spectrogram images"
    if not store.is_installed():
        return "cnn", f"{spectrograms} {store.MODEL} is not installed; run `raygenre pretrained install` (29 MB)"
    return (
        "head",
        f"a network on the features of {store.MODEL}, because the tracks are audio; --model cnn: on spectrograms",
    )


def check_head(space: Mapping[str, Entry], batch_size: int) -> None:
    """Check that a network that uses pretrained features supports all hyperparameters and values of a space.

    Args:
        batch_size: batch size to use if the space does not contain one.

    Raises:
        SpaceError: the network does not have one of the hyperparameters, or cannot be trained with one of the values.
    """
    for name in space:
        if name not in HEAD_NAMES:
            allowed = ", ".join(HEAD_NAMES)
            raise SpaceError(f"{name} has no effect on a network that uses pretrained features; use only {allowed}")
    sizes = space.get("batch_size", batch_size)
    if isinstance(sizes, dict):
        sizes = sizes["low"]
    if any(int(size) < 2 for size in (sizes if isinstance(sizes, list) else [sizes])):
        raise SpaceError("batch_size must be at least 2 for pretrained features, which are normalised over each batch")


def _check_usable(options: Options, tracks: Dataset, wanted_by: str) -> None:
    """Check that a network that uses pretrained features can be trained on the tracks with these options."""
    for name in _ONLY_CNN:
        if name in options.given:
            raise OptionError(f"{wanted_by} trains a network that uses pretrained features; leave out {_option(name)}")
    if which := _images(tracks):
        raise OptionError(
            f"{which} spectrogram images, and pretrained features require recordings; use --model cnn, or pass "
            "a folder of audio files as --data"
        )
    if not store.is_installed():
        raise PretrainedError(f"{store.MODEL} is not installed; run `raygenre pretrained install`")


def _images(tracks: Dataset) -> str:
    """Return the start of a clause that states which tracks are images; empty if none are."""
    number, total = images(tracks), len(tracks.tracks)
    if not number:
        return ""
    return "the tracks are" if number == total else f"{number} of {total} tracks are"


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
