"""Name the genres of many songs: expand what a person names, predict on all cores, write a table.

A table has a row a file: path, genre, confidence, uncertain, seconds (to where the last sound was heard), windows,
the probability of each genre under its name, and error, which is empty when there was none.
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

import pandas as pd

from raygenre import audio, spectrogram
from raygenre.data import playlist, track_files
from raygenre.model.classifier import Classifier, Prediction
from raygenre.spectrogram.song import read
from raygenre.system import worker_pool

TABLES = (".csv", ".parquet")

_FIXED = ("path", "genre", "confidence", "uncertain", "seconds", "windows", "error")


@dataclass(frozen=True)
class Sources:
    """What there is to predict.

    Attributes:
        songs: files, none twice.
        skipped: entries of playlists that are no files of this machine, with the reason.
        failed: folders and playlists that give nothing, with the reason.
    """

    songs: tuple[Path, ...]
    skipped: tuple[tuple[str, str], ...]
    failed: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Answer:
    """What is known of a file after its turn.

    Attributes:
        prediction: none if there is an error.
        times: start and end of each window in s; empty for a picture.
        error: why there is no prediction; empty if there is one.
    """

    path: Path
    prediction: Prediction | None
    times: tuple[tuple[float, float], ...]
    error: str


def expand(sources: Sequence[Path]) -> Sources:
    """Expand folders and playlists into songs, in the order given, each file once.

    A folder stands for its audio files and dataset-style pictures at any depth, sorted, without hidden ones; for no
    other pictures, such as covers, and not for playlists, which name songs that are mostly there anyway. A file that
    is named is taken for a song whatever its suffix.
    """
    songs: dict[str, Path] = {}
    skipped: list[tuple[str, str]] = []
    failed: list[tuple[str, str]] = []
    for source in sources:
        found = [source]
        if source.is_dir():
            found = _songs_in(source)
            if not found:
                failed.append((printable(source), "the folder holds no audio file"))
        elif source.suffix.lower() in playlist.SUFFIXES:
            try:
                listed = playlist.read(source)
            except OSError as error:
                failed.append((printable(source), error.strerror or str(error)))
                continue
            found = list(listed.songs)
            skipped += [(f"{printable(source)}: {entry}", reason) for entry, reason in listed.skipped]
        for song in found:
            songs.setdefault(os.path.realpath(song), song)
    return Sources(tuple(songs.values()), tuple(skipped), tuple(failed))


def predict(classifier: Classifier, songs: Sequence[Path], *, jobs: int) -> Generator[Answer, None, None]:
    """Classify files on several cores, and yield the answers in the order of the files.

    Close the iterator to end it at once.

    Raises:
        ValueError: `jobs` is not positive.
    """
    # The network runs in the workers. With it in this process instead, 20 songs of four minutes took 1.3 times the
    # CPU time on two cores (15.7 s against 12.1 s); and as reading a song costs about four times as much as
    # classifying it, this process would keep more than four workers waiting. What comes back is small, too.
    early: dict[int, Answer] = {}  # of files that overtook one before them; without levels, so they are small
    following = 0
    with closing(worker_pool.unordered(partial(_answer, classifier), list(enumerate(songs)), jobs=jobs)) as results:
        for (number, song), result in results:
            early[number] = (
                result if isinstance(result, Answer) else Answer(song, None, (), str(result) or repr(result))
            )
            while following in early:
                yield early.pop(following)
                following += 1


def record(answer: Answer) -> dict[str, object]:
    """Return an answer as JSON has it: with every window, or with the error alone."""
    prediction = answer.prediction
    if not prediction:
        return {"file": printable(answer.path), "error": answer.error}
    times = answer.times or [(None, None)] * len(prediction.windows)
    windows = []
    for (start, end), window in zip(times, prediction.windows, strict=True):
        genre = max(window, key=window.__getitem__)
        windows.append(
            {"start": start, "end": end, "genre": genre, "confidence": window[genre], "probabilities": dict(window)}
        )
    return {
        "file": printable(answer.path),
        "genre": prediction.genre,
        "confidence": prediction.confidence,
        "uncertain": prediction.uncertain,
        "probabilities": dict(prediction.probabilities),
        "windows": windows,
    }


def table(answers: Sequence[Answer], genres: Sequence[str]) -> pd.DataFrame:
    """Return the table of answers, as the module's docstring describes it."""
    rows = []
    for answer in answers:
        row: dict[str, object] = {"path": printable(answer.path), "error": answer.error}
        if prediction := answer.prediction:
            row |= {
                "genre": prediction.genre,
                "confidence": prediction.confidence,
                "uncertain": prediction.uncertain,
                "seconds": answer.times[-1][1] if answer.times else None,
                "windows": len(prediction.windows),
            }
            row |= {_column(genre): share for genre, share in prediction.probabilities.items()}
        rows.append(row)
    columns = [*_FIXED[:-1], *map(_column, genres), _FIXED[-1]]
    shares = dict.fromkeys(["confidence", "seconds", *map(_column, genres)], "float64")
    kinds = shares | {"path": "str", "genre": "str", "uncertain": "boolean", "windows": "Int64", "error": "str"}
    return pd.DataFrame(rows, columns=columns).astype(kinds)


def table_file(frame: pd.DataFrame, suffix: str) -> bytes:
    """Return the file of a table, by its suffix.

    Raises:
        ValueError: the suffix is neither .csv nor .parquet.
    """
    buffer = io.BytesIO()
    if suffix.lower() == ".csv":
        frame.to_csv(buffer, index=False)
    elif suffix.lower() == ".parquet":
        frame.to_parquet(buffer, index=False, engine="pyarrow")
    else:
        raise ValueError(f"a table is written as .csv or .parquet, not as {suffix or 'a file without a suffix'}")
    return buffer.getvalue()


def printable(path: Path) -> str:
    """A path as text that can be printed and stored: bytes of a name that are no UTF-8 are written as \\xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _answer(classifier: Classifier, numbered: tuple[int, Path]) -> Answer:
    """In a worker: decode, draw and classify a file."""
    _, path = numbered
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a device or a pipe need not end
            raise ValueError("it is no regular file")
        song = read(path)
    except OSError as error:
        return Answer(path, None, (), error.strerror or str(error))
    except ValueError as error:
        return Answer(path, None, (), str(error))
    return Answer(path, classifier.predict(song), song.times, "")


def _songs_in(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if (path.suffix.lower() in audio.SUFFIXES or (path.suffix.lower() == ".png" and _is_drawing(path)))
        and not track_files.is_hidden(path.relative_to(folder))
        and path.is_file()
    )


def _is_drawing(path: Path) -> bool:
    """Whether a PNG has the size of the dataset's pictures."""
    try:
        with path.open("rb") as file:
            head = file.read(24)
    except OSError:
        return False
    size = struct.pack(">II", spectrogram.WIDTH, spectrogram.HEIGHT)
    return head.startswith(spectrogram.PNG_SIGNATURE) and head[16:] == size


def _column(genre: str) -> str:
    """The column of a genre: its name, unless another column has that."""
    return f"{genre} (genre)" if genre in _FIXED else genre
