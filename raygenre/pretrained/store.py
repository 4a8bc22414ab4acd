"""The installed weights of MSD_musicnn: a folder in the user's cache.

    weights.safetensors     the network's weights, 3 MB
    about.json              their source, licence (name and text), SHA-256 and dimensions, and the tags

`raygenre.pretrained.install` writes this folder. Loading it needs no network connection and executes no code from it.
Importing torch takes several seconds, so it is imported only in the functions that need it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from raygenre.errors import RaygenreError
from raygenre.system.atomic_write import atomic_folder
from raygenre.system.hashing import sha256_of
from raygenre.system.user_cache import user_cache

if TYPE_CHECKING:
    from raygenre.pretrained.network import MusicNetwork

MODEL = "MSD_musicnn"
WEIGHTS, ABOUT = "weights.safetensors", "about.json"
OFFER = "`raygenre pretrained install` installs a network that predicts fifty tags for any song, without training"
"""The hint that commands print when the weights would help but are not installed."""


class PretrainedError(RaygenreError, RuntimeError):
    """The pretrained network is not installed, is damaged, or cannot be installed. The message says what to do."""


@dataclass(frozen=True)
class About:
    """Where the weights come from.

    Attributes:
        model: name of the network.
        source: the package that contains the weights, with its version and address.
        source_sha256: hexadecimal SHA-256 of that package's file.
        licence: name of the weights' licence.
        licence_text: its text, which must accompany every copy of the weights.
        tags: names of the tags, in the order of the network's outputs.
        dimensions: the arguments for `Dimensions`.
        sha256: hexadecimal SHA-256 of the weights file.
    """

    model: str
    source: str
    source_sha256: str
    licence: str
    licence_text: str
    tags: tuple[str, ...]
    dimensions: Mapping[str, int]
    sha256: str = ""


@dataclass(frozen=True)
class Pretrained:
    """A pretrained network, in evaluation mode on the CPU, and its source."""

    network: "MusicNetwork"
    about: About


def default_folder() -> Path:
    """Return the folder in the user's cache."""
    return user_cache() / "pretrained" / MODEL


def is_installed(folder: Path | None = None) -> bool:
    """Return whether the weights are installed, without reading them."""
    return ((folder or default_folder()) / ABOUT).is_file()


def read_about(folder: Path | None = None) -> About:
    """Return the description of the installed weights.

    Raises:
        PretrainedError: the weights are not installed, or their description is damaged.
    """
    folder = folder or default_folder()
    if not is_installed(folder):
        raise PretrainedError(f"{MODEL} is not installed in {folder}; run `raygenre pretrained install`")
    try:
        fields = json.loads((folder / ABOUT).read_text())
        return About(**fields | {"tags": tuple(fields["tags"])})
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise _damaged(folder, error) from error


def load(folder: Path | None = None) -> Pretrained:
    """Load the installed weights.

    Raises:
        PretrainedError: the weights are not installed or are damaged.
    """
    folder = folder or default_folder()
    about = read_about(folder)  # before torch is imported

    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from raygenre.pretrained.network import Dimensions, MusicNetwork

    try:
        if sha256_of(folder / WEIGHTS) != about.sha256:
            raise PretrainedError(f"{folder / WEIGHTS} was changed: its SHA-256 does not match {ABOUT}; {_REMEDY}")
        network = MusicNetwork(Dimensions(**about.dimensions))
        network.load_state_dict(load_file(folder / WEIGHTS))
    except PretrainedError:
        raise
    except (OSError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise _damaged(folder, error) from error
    return Pretrained(network, about)


def save(pretrained: Pretrained, folder: Path) -> About:
    """Write weights and their description atomically to a new folder; return the description with the weights' hash.

    Raises:
        OSError: the folder exists or cannot be written.
    """
    from safetensors.torch import save as serialise

    folder.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(folder) as unfinished:
        (unfinished / WEIGHTS).write_bytes(serialise(pretrained.network.state_dict()))
        fields = asdict(pretrained.about) | {"sha256": sha256_of(unfinished / WEIGHTS)}
        (unfinished / ABOUT).write_text(json.dumps(fields, indent=1))
    return About(**fields)


_REMEDY = "remove the folder and run `raygenre pretrained install`"


def _damaged(folder: Path, error: Exception) -> PretrainedError:
    return PretrainedError(f"the pretrained network in {folder} is damaged ({error!r}); {_REMEDY}")
