"""A cache of predictions that lets an interrupted `raygenre predict` resume.

An entry is a file with the probabilities and times of a song's windows. Its name is a hash of the song's content and of
everything that determines the probabilities: weights, genres, calibration, and the versions of the spectrogram's recipe
and of the decoding libraries. Predictions are therefore found even if songs have been renamed or copied, and entries
from another model are never used.

Several processes may use the cache at the same time, because entries are written atomically and an entry always has the
    same content.
Each of the 256 folders keeps only its most recently used entries. An entry starts with its SHA-256; a damaged entry is
ignored and written again.
"""

import hashlib
import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load as deserialise
from safetensors.numpy import save as serialise

from raygenre.system.atomic_write import UNFINISHED, write_atomically
from raygenre.system.hashing import sha256_of

if TYPE_CHECKING:
    from raygenre.model.classifier import Classifier

MAX_ENTRIES = 400  # per folder; about 100 000 in total, about 400 MB if each takes up one block of the file system
_MAX_BYTES = 2**20  # maximum size of an entry, enough for a week-long recording
_STALE = 3600.0  # seconds after which an unfinished entry is assumed to have been left by a killed process
_FORMAT = 1  # format version of the entries
_PACKAGES = ("raygenre", "av", "soxr", "numpy", "torch")
_DIGEST = hashlib.sha256().digest_size


@dataclass(frozen=True)
class CachedWindows:
    """The data that the cache stores for a song.

    Attributes:
        rows: float32 (W, G), calibrated probabilities of each window.
        times: start and end of each window in s; empty for an image.
    """

    rows: NDArray[np.float32]
    times: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class PredictionCache:
    """The cached predictions of one classifier.

    Attributes:
        folder: folder with the entries of all classifiers.
        model: hash of everything that determines a prediction, except the song.
    """

    folder: Path
    model: str

    @classmethod
    def of(cls, classifier: "Classifier", folder: Path) -> Self:
        """Return the cache of a classifier; the folder is created when the first entry is stored."""
        about = {
            "format": _FORMAT,
            "config": asdict(classifier.model.config),
            "genres": classifier.genres,
            "calibration": asdict(classifier.calibration),
            "recipe": classifier.input.recipe,
            "extractor": classifier.input.weights_sha256,
            "versions": [version(name) for name in _PACKAGES],
        }
        digest = hashlib.sha256(json.dumps(about).encode())
        for name, tensor in sorted(classifier.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return cls(folder, digest.hexdigest())

    def key(self, song: Path) -> str:
        """Return the name of a song's entry.

        Raises:
            OSError: the song cannot be read.
        """
        return self._key(sha256_of(song))

    def carry_over(self, old_sha256: str, new_sha256: str) -> None:
        """Keep a song's entry after a change to its file that leaves the audio unchanged.

        Args:
            old_sha256: SHA-256 of the file before the change.
            new_sha256: SHA-256 of the file after the change.
        """
        if windows := self.load(self._key(old_sha256)):
            self.store(self._key(new_sha256), windows)

    def load(self, key: str) -> CachedWindows | None:
        """Return an entry, or None if it is missing or damaged."""
        path = self._path(key)
        try:
            data = path.read_bytes()
            os.utime(path)  # the least recently used entries are deleted first
        except OSError:
            return None
        return _decoded(data)

    def store(self, key: str, windows: CachedWindows) -> None:
        """Store an entry, and delete the least recently used entries of its folder if there are too many.

        If the cache cannot be written, nothing is stored and no error is raised, because the prediction itself is still
        valid.
        """
        data = _encoded(windows)
        if len(data) > _MAX_BYTES:
            return
        path = self._path(key)
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, data)
            _prune(path.parent)

    def _key(self, sha256: str) -> str:
        return hashlib.sha256(f"{self.model} {sha256}".encode()).hexdigest()

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / key[2:]


def _encoded(windows: CachedWindows) -> bytes:
    times = np.array(windows.times, dtype=np.float64).reshape(-1, 2)
    payload = serialise({"rows": windows.rows, "times": times})
    return hashlib.sha256(payload).digest() + payload


def _decoded(data: bytes) -> CachedWindows | None:
    digest, payload = data[:_DIGEST], data[_DIGEST:]
    if hashlib.sha256(payload).digest() != digest:
        return None
    stored = deserialise(payload)
    return CachedWindows(stored["rows"], tuple((start, end) for start, end in stored["times"].tolist()))


def _prune(folder: Path) -> None:
    """Delete unfinished entries of killed processes, and the least recently used entries if there are too many."""
    ages: dict[Path, float] = {}
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # another process deleted it
            ages[path] = time.time() - path.stat().st_mtime
    entries = sorted((path for path in ages if not path.name.startswith(UNFINISHED)), key=ages.__getitem__)
    stale = [path for path, age in ages.items() if path.name.startswith(UNFINISHED) and age > _STALE]
    for path in (*entries[MAX_ENTRIES:], *stale):
        path.unlink(missing_ok=True)
