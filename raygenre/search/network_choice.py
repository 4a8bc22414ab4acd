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
from raygenre.search.space.space import SpaceError


def choose_network(options: Options, tracks: Dataset, base: Mapping[str, Any] | None = None) -> tuple[NetworkName, str]:
    """Return the network of a new search, and a note for the user that says why.

    Args:
        base: fields of run.yaml from an earlier search, whose network is used again.

    Raises:
        OptionError: the options are mutually exclusive, or the tracks are images.
        PretrainedError: the pretrained network is not installed.
    """
    if base:
        if "model" in options.given:
            raise OptionError("--config has its own network; leave out --model")
        return ("head" if base.get("space", {}).get("network") == "head" else "cnn"), ""
    if options.model == "cnn":
        return "cnn", ""
    pictures, total = images(tracks), len(tracks.tracks)
    some = "the tracks are" if pictures == total else f"{pictures} of {total} tracks are"
    if options.model == "pretrained":
        for name in ("preset", "search_width", "augmentation"):
            if name in options.given:
                raise OptionError(f"--model pretrained has a network of its own; leave out --{name.replace('_', '-')}")
        if pictures:
            raise OptionError(
                f"{some} spectrogram images, and pretrained features need the recordings; use --model cnn, or give "
                "--data a folder of audio files"
            )
        if not store.is_installed():
            raise PretrainedError(f"{store.MODEL} is not installed; run `raygenre pretrained install`")
        return "head", f"a head on the features of {store.MODEL}"
    if tracks.synthetic:
        return "cnn", ""
    if wanted := [
        name for name in ("preset", "search_width", "augmentation", "space", "start") if name in options.given
    ]:
        return "cnn", f"cnn on spectrograms, as --{wanted[0].replace('_', '-')} is about it"
    if pictures:
        return "cnn", f"cnn on spectrograms, because {some} images"
    if not store.is_installed():
        return "cnn", f"cnn on spectrograms; after `raygenre pretrained install`, {store.MODEL} would be used instead"
    return "head", f"a head on the features of {store.MODEL}, because the tracks are audio; --model cnn: spectrograms"


def check_head(space: Mapping[str, object]) -> None:
    """Check that a network on pretrained features has the hyperparameters of a space.

    Raises:
        SpaceError: it has not.
    """
    for name in space:
        if name not in HEAD_NAMES:
            raise SpaceError(f"{name} has no effect on pretrained features, which have {', '.join(HEAD_NAMES)}")
