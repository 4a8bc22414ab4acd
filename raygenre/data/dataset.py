"""Folders of spectrogram images or audio → levels, labels and track ids.

Conventions: levels are uint8 (N, 128, 333), labels index `genres`, which are in alphabetical order. A song longer than
31 s counts once, by its middle 30 s, so that no song weighs more than another or lies on two sides of a split.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from raygenre import audio, spectrogram
from raygenre.audio import synthesis
from raygenre.data.track_files import DataError, TrackFile, find_tracks
from raygenre.spectrogram import song
from raygenre.system.atomic_write import atomic_file
from raygenre.system.worker_pool import cores

GTZAN_ON_KAGGLE = "andradaolteanu/gtzan-dataset-music-genre-classification"
MOST_BROKEN = 0.05  # share of the files
SYNTHETIC_TRACKS = 20  # per genre
SYNTHETIC_SEED = 0

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]
"""Called with the number of files done and the number of all."""


@dataclass(frozen=True)
class BrokenFile:
    """A file that was left out: its path within the data folder, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Dataset:
    """Tracks as the network sees them.

    Attributes:
        levels: uint8 (N, 128, 333).
        labels: int64 (N,), indices of `genres`.
        tracks: N ids, none twice.
        genres: names of the classes, in alphabetical order.
        source: the folder, or `synthetic`.
        broken: files that were left out.
        digest: SHA-256 of all the above but `source` and `broken`, hexadecimal.
    """

    levels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    tracks: tuple[str, ...]
    genres: tuple[str, ...]
    source: str
    broken: tuple[BrokenFile, ...]
    digest: str

    @property
    def synthetic(self) -> bool:
        return self.source == "synthetic"

    @property
    def counts(self) -> dict[str, int]:
        """Tracks per genre."""
        numbers = np.bincount(self.labels, minlength=len(self.genres))
        return dict(zip(self.genres, numbers.tolist(), strict=True))


def load(source: Path | None, *, cache: Path, progress: Progress | None = None) -> Dataset:
    """Load a data folder, or the embedded synthetic tracks when `source` is None.

    The levels are decoded once and kept in `cache` under a key made from every file's content, so that any change
    of the data, and nothing else, decodes again. Two processes may load the same folder at once.

    Raises:
        DataError: no classes, fewer than two, one without a usable file, or over 5 % of the files broken.
    """
    if source is None:
        code = Path(synthesis.__file__).read_bytes()
        key = _key([f"synthetic {SYNTHETIC_TRACKS} {SYNTHETIC_SEED}", hashlib.sha256(code).hexdigest()])
        return _cached(cache, key, "synthetic", lambda: _synthetic(progress))
    entries = find_tracks(source)
    key = _key([f"{entry.genre}/{entry.path.name} {entry.track} {entry.sha256}" for entry in entries])
    return _cached(cache, key, str(source.resolve()), lambda: _decoded(entries, source, progress))


def decode(path: Path) -> NDArray[np.uint8]:
    """Return the levels (128, 333) uint8 of a dataset-style PNG, or of an audio file's middle 30 s.

    Raises:
        ValueError: the file is damaged, of the wrong kind, or silent, as no genre sounds; the message says which.
        OSError: the file cannot be read.
    """
    if path.suffix.lower() != ".png":
        return song.levels(path)
    found = spectrogram.read_png(path)
    if not found.any():
        raise ValueError(audio.SILENT)
    return found


def summary(broken: Sequence[BrokenFile], *, most: int = 10) -> str:
    """One line a broken file, at most `most` of them."""
    lines = [f"  {file.path}: {file.reason}" for file in broken[:most]]
    if len(broken) > most:
        lines.append(f"  and {len(broken) - most} more")
    return "\n".join(lines)


def _decoded(entries: Sequence[TrackFile], source: Path, progress: Progress | None) -> Dataset:
    good: list[tuple[TrackFile, NDArray[np.uint8]]] = []
    broken: list[BrokenFile] = []
    for entry, result in zip(entries, _on_all_cores(_try, entries, progress), strict=True):
        if isinstance(result, str):
            broken.append(BrokenFile(str(entry.path.relative_to(source)), result))
        else:
            good.append((entry, result))
    if len(broken) > MOST_BROKEN * len(entries):
        raise DataError(
            f"{len(broken)} of {len(entries)} files in {source} cannot be used, over {MOST_BROKEN:.0%}:\n"
            f"{summary(broken)}\nRepair or remove them."
        )
    genres = tuple(sorted({entry.genre for entry in entries}))
    for genre in genres:
        if not any(entry.genre == genre for entry, _ in good):
            raise DataError(f"no file of the class {genre} in {source} can be used:\n{summary(broken)}")
    return _assemble(
        np.stack([levels for _, levels in good]),
        [genres.index(entry.genre) for entry, _ in good],
        [entry.track for entry, _ in good],
        genres,
        str(source.resolve()),
        broken,
    )


def _try(entry: TrackFile) -> NDArray[np.uint8] | str:
    """The levels of a file, or why there are none."""
    try:
        return decode(entry.path)
    except (ValueError, OSError) as error:
        return str(error)


def _synthetic(progress: Progress | None) -> Dataset:
    genres = tuple(sorted(synthesis.GENRES))
    chosen = [(label, number) for label in range(len(genres)) for number in range(SYNTHETIC_TRACKS)]

    def draw(track: tuple[int, int]) -> NDArray[np.uint8]:
        label, number = track
        samples = synthesis.synthesise(genres[label], seed=SYNTHETIC_SEED + number)
        return spectrogram.levels(torch.from_numpy(samples)).numpy()

    levels = np.stack(_on_all_cores(draw, chosen, progress))
    tracks = [f"{genres[label]}.{number:05d}" for label, number in chosen]
    return _assemble(levels, [label for label, _ in chosen], tracks, genres, "synthetic", [])


def _on_all_cores(function: Callable[[Item], Result], items: Sequence[Item], progress: Progress | None) -> list[Result]:
    """Return the function's result for each item, computed by one thread per core.

    Each of these threads runs torch on itself alone: with torch's own threads on top, the cores wait for each other.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads that start from here on inherit it
    results: list[Result] = []
    try:
        with ThreadPoolExecutor(cores()) as pool:
            for result in pool.map(function, items):
                results.append(result)
                if progress:
                    progress(len(results), len(items))
    finally:
        torch.set_num_threads(threads)
    return results


def _assemble(
    levels: NDArray[np.uint8],
    labels: Sequence[int],
    tracks: Sequence[str],
    genres: tuple[str, ...],
    source: str,
    broken: Sequence[BrokenFile],
) -> Dataset:
    names = json.dumps([list(labels), list(tracks), list(genres)]).encode()
    digest = hashlib.sha256(levels.tobytes() + names).hexdigest()
    return Dataset(levels, np.array(labels, dtype=np.int64), tuple(tracks), genres, source, tuple(broken), digest)


def _key(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join([spectrogram.RECIPE, *parts]).encode()).hexdigest()


def _cached(cache: Path, key: str, source: str, make: Callable[[], Dataset]) -> Dataset:
    path = cache / f"{key}.safetensors"
    if not path.exists():
        dataset = make()
        about = {"tracks": dataset.tracks, "genres": dataset.genres, "digest": dataset.digest}
        broken = [asdict(file) for file in dataset.broken]
        cache.mkdir(parents=True, exist_ok=True)
        # A second process that builds the same file replaces it with the same content.
        with atomic_file(path) as unfinished:
            save_file(
                {"levels": dataset.levels, "labels": dataset.labels},
                unfinished,
                metadata={"about": json.dumps(about), "broken": json.dumps(broken)},
            )
        return dataset
    with safe_open(path, framework="numpy") as stored:
        metadata = stored.metadata()
        about = json.loads(metadata["about"])
        return Dataset(
            levels=stored.get_tensor("levels"),
            labels=stored.get_tensor("labels"),
            tracks=tuple(about["tracks"]),
            genres=tuple(about["genres"]),
            source=source,
            broken=tuple(BrokenFile(**file) for file in json.loads(metadata["broken"])),
            digest=about["digest"],
        )
