"""The tracks of a data set as input for a network, computed once and cached by content."""

import hashlib
import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from raygenre import audio
from raygenre.data.dataset import Dataset, synthetic_samples
from raygenre.data.threads import Progress, on_all_cores
from raygenre.data.track_files import DataError
from raygenre.errors import RaygenreError, reason_of
from raygenre.inputs.kind import InputKind
from raygenre.inputs.levels import LEVELS
from raygenre.spectrogram.song import is_image
from raygenre.system.atomic_write import write_atomically
from raygenre.system.printable import printable

_FOLDER = "inputs"
_DIGEST = hashlib.sha256().digest_size


def images(dataset: Dataset) -> int:
    """Return how many tracks are spectrogram images, from which only levels can be computed."""
    return sum(_is_image(path) for path, _ in dataset.files)


def inputs_of(
    dataset: Dataset,
    kind: InputKind,
    chosen: Sequence[int] | NDArray[Any] | None = None,
    *,
    progress: Progress | None = None,
) -> NDArray[Any]:
    """Return the input for the tracks of a data set, (N, *shape).

    Levels are already in the data set. All other inputs are computed once and stored in the data set's cache. Each
    track has its own small file, so a call can continue where an interrupted call stopped. A file contains the SHA-256
    of the values, followed by the values' bytes. If a file is damaged, its input is computed and stored again.

    Args:
        chosen: indices of the tracks or a mask, bool (N,); all tracks if None.
        progress: function to call after each track that is computed; not called if all inputs come from the cache.

    Raises:
        DataError: a track is an image, from which this kind cannot be computed, or a track's file can no longer be
            read.
    """
    if kind is LEVELS:
        return dataset.levels if chosen is None else dataset.levels[np.asarray(chosen)]
    everything = np.arange(len(dataset.tracks))
    indices: list[int] = (everything if chosen is None else everything[np.asarray(chosen)]).tolist()
    if not kind.takes_images and (
        pictures := sum(_is_image(dataset.files[index][0]) for index in indices if dataset.files)
    ):
        raise DataError(
            f"{pictures} of {len(indices)} tracks in {dataset.source} are spectrogram images, from which no features "
            "can be computed; use the recordings"
        )
    found = [_stored(dataset, kind, index) for index in indices]
    missing = [place for place, values in enumerate(found) if values is None]

    def compute(place: int) -> NDArray[Any]:
        values = _computed(dataset, kind, indices[place])
        _store(dataset, kind, indices[place], values)
        return values

    for place, values in zip(missing, on_all_cores(compute, missing, progress), strict=True):
        found[place] = values
    return np.stack([values for values in found if values is not None])


def _is_image(path: Path) -> bool:
    """Return whether a file is an image; False if it cannot be read, which `_computed` then reports as an error."""
    try:
        return is_image(path)
    except OSError:
        return False


def _computed(dataset: Dataset, kind: InputKind, index: int) -> NDArray[Any]:
    if dataset.synthetic:
        genre = dataset.genres[dataset.labels[index]]
        samples = synthetic_samples(genre, int(dataset.tracks[index].removeprefix(f"{genre}.")))
        resampled = soxr.resample(samples, audio.SAMPLE_RATE, kind.sample_rate)
        return np.asarray(kind.from_blocks([np.ascontiguousarray(resampled, dtype=np.float32)]).windows.mean(axis=0))
    path, _ = dataset.files[index]
    try:
        return kind.middle(path)
    except (RaygenreError, OSError) as error:
        raise DataError(f"{printable(path)}: {reason_of(error)}") from error


def _stored(dataset: Dataset, kind: InputKind, index: int) -> NDArray[Any] | None:
    path = _path(dataset, kind, index)
    if path is None or not path.exists():
        return None
    try:
        content = path.read_bytes()
    except OSError:  # the input is computed and stored again
        return None
    digest, values = content[:_DIGEST], content[_DIGEST:]
    if hashlib.sha256(values).digest() != digest or len(values) != math.prod(kind.shape) * kind.dtype.itemsize:
        return None
    return np.frombuffer(values, dtype=kind.dtype).reshape(kind.shape)


def _store(dataset: Dataset, kind: InputKind, index: int, values: NDArray[Any]) -> None:
    path = _path(dataset, kind, index)
    if path is None:
        return
    content = np.ascontiguousarray(values, dtype=kind.dtype).tobytes()
    with suppress(OSError):  # if the cache cannot be written, nothing is stored
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, hashlib.sha256(content).digest() + content)


def _path(dataset: Dataset, kind: InputKind, index: int) -> Path | None:
    """Return the file for a track's input, named after the content from which it is computed; None without a cache."""
    if dataset.cache is None:
        return None
    # The digest of a synthetic data set covers its tracks' levels, so it changes whenever the samples change.
    content = dataset.files[index][1] if dataset.files else f"{dataset.digest}-{index:05d}"
    return dataset.cache / _FOLDER / f"{kind.recipe}-{kind.weights_sha256[:16]}" / content[:2] / content
