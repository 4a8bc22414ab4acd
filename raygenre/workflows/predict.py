"""Predict the genres of many songs: expand sources, predict on all cores, make a table.

The table has one row per file. Its columns are path, genre, confidence, uncertain, seconds (end of the last window with
sound), windows (number of windows), one column per genre with its probability, and error (empty if there was none).
"""

import io
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
    import pandas as pd

    from raygenre.model.classifier import Classifier, Prediction

TABLES = (".csv", ".parquet")

_FIXED_COLUMNS = ("path", "genre", "confidence", "uncertain", "seconds", "windows", "error")


@dataclass(frozen=True)
class Sources:
    """The files to predict.

    Attributes:
        songs: the files, without duplicates.
        skipped: (entry, reason) for each playlist entry that is not a file on this machine.
        failed: (source, reason) for each folder without songs and each playlist that cannot be read.
    """

    songs: tuple[Path, ...]
    skipped: tuple[tuple[str, str], ...]
    failed: tuple[tuple[str, str], ...]


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
    return Sources(tuple(songs.values()), tuple(skipped), tuple(failed))


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


def json_record(result: SongResult) -> dict[str, object]:
    """Return a result as a JSON object: the prediction with all windows, or only the error."""
    prediction = result.prediction
    if not prediction:
        return {"file": printable(result.path), "error": result.error}
    times = result.times or [(None, None)] * len(prediction.windows)
    windows = []
    for (start, end), window in zip(times, prediction.windows, strict=True):
        genre = max(window, key=window.__getitem__)
        windows.append(
            {"start": start, "end": end, "genre": genre, "confidence": window[genre], "probabilities": dict(window)}
        )
    return {
        "file": printable(result.path),
        "genre": prediction.genre,
        "confidence": prediction.confidence,
        "uncertain": prediction.uncertain,
        "probabilities": dict(prediction.probabilities),
        "windows": windows,
    }


def results_table(results: Sequence[SongResult], genres: Sequence[str]) -> "pd.DataFrame":
    """Return the table described in the module's docstring."""
    import pandas as pd

    rows = []
    for result in results:
        row: dict[str, object] = {"path": printable(result.path), "error": result.error}
        if prediction := result.prediction:
            row |= {
                "genre": prediction.genre,
                "confidence": prediction.confidence,
                "uncertain": prediction.uncertain,
                "seconds": result.times[-1][1] if result.times else None,
                "windows": len(prediction.windows),
            }
            row |= {_column(genre): share for genre, share in prediction.probabilities.items()}
        rows.append(row)
    columns = [*_FIXED_COLUMNS[:-1], *map(_column, genres), _FIXED_COLUMNS[-1]]
    shares = dict.fromkeys(["confidence", "seconds", *map(_column, genres)], "float64")
    kinds = shares | {"path": "str", "genre": "str", "uncertain": "boolean", "windows": "Int64", "error": "str"}
    return pd.DataFrame(rows, columns=columns).astype(kinds)


def encode_table(frame: "pd.DataFrame", suffix: str) -> bytes:
    """Return a table encoded in the format that the suffix names.

    Raises:
        ValueError: the suffix is neither .csv nor .parquet.
    """
    buffer = io.BytesIO()
    if suffix.lower() == ".csv":
        frame.to_csv(buffer, index=False)
    elif suffix.lower() == ".parquet":
        frame.to_parquet(buffer, index=False, engine="pyarrow")
    else:
        raise ValueError(f"a table is a .csv or .parquet file, not {suffix or 'a file without a suffix'}")
    return buffer.getvalue()


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


def _column(genre: str) -> str:
    """Return the name of a genre's column: the genre, unless a fixed column has that name."""
    return f"{genre} (genre)" if genre in _FIXED_COLUMNS else genre
