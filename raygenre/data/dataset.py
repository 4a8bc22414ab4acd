"""Load folders of spectrogram images or audio as levels, labels and track ids.

Conventions: levels are uint8 (N, 128, 333). Labels index `genres`, which are in alphabetical order. A song longer than
31 s is represented by its middle 30 s only, so every song has the same weight and is in only one subset of a split.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from raygenre import audio, spectrogram
from raygenre.audio import synthesis
from raygenre.data.broken_files import BrokenFile, check_usable, relative_to
from raygenre.data.threads import Progress, on_all_cores
from raygenre.data.track_files import TrackFile, hash_files, read_folder
from raygenre.errors import RaygenreError, reason_of
from raygenre.spectrogram import song
from raygenre.system.atomic_write import atomic_file
from raygenre.system.printable import printable

GTZAN_ON_KAGGLE = "andradaolteanu/gtzan-dataset-music-genre-classification"
_READER = "3"  # change this when more files become usable, since the cache also records why files are unusable
SYNTHETIC_TRACKS = 20  # per genre
SYNTHETIC_SEED = 0


@dataclass(frozen=True)
class Dataset:
    """Tracks with their labels. Levels serve to identify and display a track; a network may use another kind of input.

    Attributes:
        levels: uint8 (N, 128, 333).
        labels: int64 (N,), indices into `genres`.
        tracks: N unique ids.
        genres: names of the classes, in alphabetical order.
        source: path of the data folder, or `synthetic`.
        broken: files that were skipped.
        digest: hexadecimal SHA-256 of the levels, labels, tracks and genres.
        notes: lines for the user about the folder, such as what was ignored; see `DataFolder`.
        left_out: files in the folder that are neither music nor clutter.
        files: path and SHA-256 of each track's file; empty for synthetic tracks.
        cache: folder in which inputs other than levels are stored.
    """

    levels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    tracks: tuple[str, ...]
    genres: tuple[str, ...]
    source: str
    broken: tuple[BrokenFile, ...]
    digest: str
    notes: tuple[str, ...] = ()
    left_out: tuple[BrokenFile, ...] = ()
    files: tuple[tuple[Path, str], ...] = ()
    cache: Path | None = None

    @property
    def synthetic(self) -> bool:
        return self.source == "synthetic"

    @property
    def counts(self) -> dict[str, int]:
        """The number of tracks per genre."""
        numbers = np.bincount(self.labels, minlength=len(self.genres))
        return dict(zip(self.genres, numbers.tolist(), strict=True))


def load(
    source: Path | None,
    *,
    cache: Path,
    merge_case: bool = False,
    allow_broken: bool = False,
    progress: Progress | None = None,
) -> Dataset:
    """Load a data folder, or the built-in synthetic tracks if `source` is None.

    The levels are computed once and stored in `cache` under a key derived from the content of every file, so they are
    recomputed only when the data changes. Several processes may load the same folder at the same time.

    Args:
        cache: folder for the computed levels; created if missing.
        merge_case: whether class folders whose names differ only in case are one class.
        allow_broken: whether to accept any share of unusable files, and to leave out classes without a usable file.
        progress: function to call after each decoded file; not called if the levels come from the cache.

    Raises:
        DataError: the folder does not exist or has fewer than two classes; or, unless `allow_broken` is set, all files
            of a class or over 5 % of all files are unusable.
    """
    if source is None:
        code = Path(synthesis.__file__).read_bytes()
        key = _key([f"synthetic {SYNTHETIC_TRACKS} {SYNTHETIC_SEED}", hashlib.sha256(code).hexdigest()])
        data = _cached(cache, key, "synthetic", lambda: _synthetic(progress))
        return replace(data, cache=cache)
    folder = read_folder(source, merge_case=merge_case)
    files = hash_files(folder.paths)
    key = _key([f"{file.genre}/{file.path.name} {file.track} {file.sha256}" for file in files])

    def checked(data: Dataset) -> Dataset:
        check_usable(files, data.genres, data.broken, source, allow_broken=allow_broken)
        return data

    data = _cached(cache, key, str(source.resolve()), lambda: checked(_decoded(files, source, progress)))
    checked(data)  # the data may have been cached by a call that allowed broken files
    unusable, left_out = (relative_to(found, source) for found in (folder.unusable, folder.left_out))
    lost = sorted({file.genre for file in files} - set(data.genres))
    lost_notes = [f"no file of the class {printable(genre)} is usable, so the class is left out" for genre in lost]
    by_track = {file.track: (file.path, file.sha256) for file in files}
    return replace(
        data,
        broken=(*data.broken, *unusable),
        notes=(*folder.notes, *lost_notes),
        left_out=left_out,
        files=tuple(by_track[track] for track in data.tracks),
        cache=cache,
    )


def decode(path: Path) -> NDArray[np.uint8]:
    """Return the levels, uint8 (128, 333), of a spectrogram image (PNG), or of an audio file's middle 30 s.

    Raises:
        AudioError: the file is not audio, or is damaged, shorter than 3 s, or silent.
        ImageError: the PNG is damaged or is not a spectrogram.
        OSError: the file cannot be read.
    """
    if path.suffix.lower() != ".png" and not song.is_image(path):
        return song.middle_levels(path)
    levels = spectrogram.read_png(path)
    if not levels.any():
        raise audio.AudioError(audio.SILENT_MESSAGE)
    return levels


def _decoded(files: Sequence[TrackFile], source: Path, progress: Progress | None) -> Dataset:
    usable: list[tuple[TrackFile, NDArray[np.uint8]]] = []
    broken: list[BrokenFile] = []
    for file, result in zip(files, on_all_cores(_try_decode, files, progress), strict=True):
        if isinstance(result, BrokenFile):
            [one] = relative_to([(file.path, result.reason)], source)
            broken.append(replace(one, is_unread=result.is_unread))
        else:
            usable.append((file, result))
    genres = tuple(sorted({file.genre for file, _ in usable}))
    return _assemble(
        np.array([levels for _, levels in usable], dtype=np.uint8),
        [genres.index(file.genre) for file, _ in usable],
        [file.track for file, _ in usable],
        genres,
        str(source.resolve()),
        broken,
    )


def _try_decode(file: TrackFile) -> NDArray[np.uint8] | BrokenFile:
    """Return a file's levels, or why it is not usable."""
    if file.error:
        return BrokenFile(str(file.path), file.error)
    try:
        return decode(file.path)
    except (RaygenreError, OSError) as error:
        return BrokenFile(str(file.path), reason_of(error), is_unread=not isinstance(error, RaygenreError))


def synthetic_samples(genre: str, number: int) -> NDArray[np.float32]:
    """Return the samples of a synthetic track, float32 (N,) at 22 050 Hz."""
    return synthesis.synthesise(genre, seed=SYNTHETIC_SEED + number)


def _synthetic(progress: Progress | None) -> Dataset:
    genres = tuple(sorted(synthesis.GENRES))
    numbered = [(label, number) for label in range(len(genres)) for number in range(SYNTHETIC_TRACKS)]

    def synthesised(track: tuple[int, int]) -> NDArray[np.uint8]:
        label, number = track
        return spectrogram.levels(torch.from_numpy(synthetic_samples(genres[label], number))).numpy()

    levels = np.stack(on_all_cores(synthesised, numbered, progress))
    tracks = [f"{genres[label]}.{number:05d}" for label, number in numbered]
    return _assemble(levels, [label for label, _ in numbered], tracks, genres, "synthetic", [])


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
    return hashlib.sha256(
        "\n".join([spectrogram.RECIPE, _READER, *parts]).encode("utf-8", "surrogateescape")
    ).hexdigest()


def _cached(cache: Path, key: str, source: str, make: Callable[[], Dataset]) -> Dataset:
    """Return the dataset cached under a key. If there is none, create the dataset and store it.

    A damaged cache file is replaced. A dataset is not stored if the disk is full, or if files could not be read.
    """
    path = cache / f"{key}.safetensors"
    if path.exists():
        with suppress(SafetensorError, ValueError, KeyError, TypeError):  # the file was cut off, for instance
            return _stored(path, source)
    dataset = make()
    if not any(file.is_unread for file in dataset.broken):
        about = {"tracks": dataset.tracks, "genres": dataset.genres, "digest": dataset.digest}
        broken = [asdict(file) for file in dataset.broken]
        metadata = {"about": json.dumps(about), "broken": json.dumps(broken)}
        cache.mkdir(parents=True, exist_ok=True)
        # If two processes create this file at the same time, the second replaces it with identical content.
        with suppress(SafetensorError), atomic_file(path) as unfinished:
            save_file({"levels": dataset.levels, "labels": dataset.labels}, unfinished, metadata=metadata)
    return dataset


def _stored(path: Path, source: str) -> Dataset:
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
