"""Predict the genres of many songs: expand sources into files, predict on all cores."""

import os
import stat
import struct
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from raygenre import audio
from raygenre.data import playlist, track_files
from raygenre.system import worker_pool

if TYPE_CHECKING:
    from raygenre.model.classifier import Classifier, Prediction


@dataclass(frozen=True)
class Sources:
    """The files to predict.

    Attributes:
        songs: the files, without duplicates.
        skipped: (entry, reason) for each playlist entry that is not a file on this machine.
        failed: (source, reason) for each folder without songs and each playlist that cannot be read.
        root: the deepest folder that contains all sources, absolute; see `relative_name`.
    """

    songs: tuple[Path, ...]
    skipped: tuple[tuple[str, str], ...]
    failed: tuple[tuple[str, str], ...]
    root: Path


@dataclass(frozen=True)
class SongResult:
    """The prediction for a file, or why there is none.

    Attributes:
        prediction: the prediction; None if there was an error.
        times: start and end of each window in s; empty for an image.
        error: why there is no prediction; empty if there was no error.
    """

    path: Path
    prediction: "Prediction | None"
    times: tuple[tuple[float, float], ...]
    error: str


def expand_sources(sources: Sequence[Path]) -> Sources:
    """Expand folders and playlists into songs, in the given order and without repeating a file.

    A folder is replaced by the audio files and dataset-style images at any depth in it, sorted. Hidden files, other
    images such as covers, and playlists in it are ignored. A file named directly counts as a song whatever its suffix.
    """
    songs: dict[str, Path] = {}
    skipped: list[tuple[str, str]] = []
    failed: list[tuple[str, str]] = []
    for source in sources:
        files = [source]
        if source.is_dir():
            files = _songs_in(source)
            if not files:
                failed.append((printable(source), "the folder contains no audio file"))
        elif source.suffix.lower() in playlist.SUFFIXES:
            try:
                entries = playlist.read(source)
            except OSError as error:
                failed.append((printable(source), error.strerror or str(error)))
                continue
            files = list(entries.songs)
            skipped += [(f"{printable(source)}: {entry}", reason) for entry, reason in entries.skipped]
        for song in files:
            songs.setdefault(os.path.realpath(song), song)
    folders = [(source if source.is_dir() else source.parent).absolute() for source in sources]
    return Sources(tuple(songs.values()), tuple(skipped), tuple(failed), Path(os.path.commonpath(folders)))


def relative_name(song: Path, root: Path) -> str:
    """Return a song's path relative to the root of its sources, for display; absolute if it is not below the root.

    Two songs have different names, and the names are as short as the sources allow: the file's name if all sources are
    files of one folder, and the path below the folder if the only source is a folder.
    """
    path = song.absolute()  # not resolved, so that links keep the names that the user knows
    is_below = root != Path(root.anchor) and path.is_relative_to(root)
    return printable(path.relative_to(root) if is_below else path)


def missing_songs(songs: Sequence[Path]) -> list[tuple[str, str]]:
    """Return (file, reason) for each song that does not exist or is in a folder that cannot be read."""
    missing = []
    for song in songs:
        try:
            song.stat()
        except (OSError, ValueError) as error:
            missing.append((printable(song), getattr(error, "strerror", None) or str(error)))
    return missing


def predict_songs(classifier: "Classifier", songs: Sequence[Path], *, jobs: int) -> Generator[SongResult, None, None]:
    """Classify files on several cores, and yield the results in the order of the files.

    Closing the iterator stops the work at once.

    Args:
        jobs: number of worker processes.

    Raises:
        ValueError: `jobs` is not positive.
    """
    # The network runs in the workers. When it ran in this process, 20 four-minute songs took 1.3 times the CPU
    # time on two cores (15.7 s instead of 12.1 s). Reading a song takes about four times as long as classifying it, so
    # this process would also be the bottleneck with more than four workers.
    early: dict[int, SongResult] = {}  # results held until an earlier file is done; small because they hold no levels
    following = 0
    with closing(worker_pool.unordered(partial(_predict, classifier), list(enumerate(songs)), jobs=jobs)) as results:
        for (number, song), result in results:
            early[number] = (
                result if isinstance(result, SongResult) else SongResult(song, None, (), str(result) or repr(result))
            )
            while following in early:
                yield early.pop(following)
                following += 1


def printable(path: Path) -> str:
    """Return a path as text that can be printed and stored; bytes that are not UTF-8 are written as \\xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _predict(classifier: "Classifier", numbered: tuple[int, Path]) -> SongResult:
    """Decode and classify a file. Runs in a worker."""
    from raygenre.spectrogram.song import read  # only here, because the commands check their arguments before torch

    _, path = numbered
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a device or a pipe may never end
            return SongResult(path, None, (), "it is not a regular file")
        song = read(path)
    except OSError as error:
        return SongResult(path, None, (), error.strerror or str(error))
    except ValueError as error:
        return SongResult(path, None, (), str(error))
    return SongResult(path, classifier.predict(song), song.times, "")


def _songs_in(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if (path.suffix.lower() in audio.SUFFIXES or (path.suffix.lower() == ".png" and _is_spectrogram(path)))
        and not track_files.is_hidden(path.relative_to(folder))
        and path.is_file()
    )


def _is_spectrogram(path: Path) -> bool:
    """Return whether a PNG has the size of the dataset's images."""
    try:
        with path.open("rb") as file:
            head = file.read(24)
    except OSError:
        return False
    from raygenre import spectrogram

    size = struct.pack(">II", spectrogram.WIDTH, spectrogram.HEIGHT)
    return head.startswith(spectrogram.PNG_SIGNATURE) and head[16:] == size
