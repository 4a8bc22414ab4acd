"""The results of predictions as a summary, JSON objects and a table.

The table has one row per file, and these columns:

- path, and the file's tags artist, album, title and tagged_genre (several genres are separated by semicolons)
- genre: the predicted genre
- agrees: whether the tagged genre is the predicted genre; empty if no tag is a genre of the model
- confidence, uncertain, seconds (end of the last window with sound), windows (number of windows)
- one column per genre with its probability
- trained_on (kind of the model's training data; see `TrainingData`), and error (empty if there was no error)
"""

import io
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from raygenre.evaluation.genre_names import normal_form
from raygenre.evaluation.training_data import TrainingData
from raygenre.system.csv_text import csv_text
from raygenre.system.printable import exact, printable
from raygenre.workflows.predict import SongResult

if TYPE_CHECKING:
    import pandas as pd

TABLES = (".csv", ".parquet")

_TAG_COLUMNS = ("artist", "album", "title", "tagged_genre")
_FIXED_COLUMNS = (
    "path", *_TAG_COLUMNS, "genre", "agrees", "confidence", "uncertain", "seconds", "windows", "trained_on", "error",
)  # fmt: skip
_SEPARATORS = re.compile(r"[;,/|]")  # between the genres of a tag such as Rock/Pop


def json_record(result: SongResult, model: str, trained_on: TrainingData) -> dict[str, object]:
    """Return a JSON object: the prediction with all windows, or the error, and the model with its training data."""
    model_fields: dict[str, object] = {"model": result.model or model, "trained_on": asdict(trained_on)}
    tags = result.tags
    file_fields: dict[str, object] = {
        "file": exact(result.path),
        "artist": exact(tags.artist),
        "album": exact(tags.album),
        "title": exact(tags.title),
        "tagged_genres": [exact(genre) for genre in tags.genres],
    }
    prediction = result.prediction
    if not prediction:
        return file_fields | {"error": result.error} | model_fields
    times = result.times or [(None, None)] * len(prediction.windows)
    windows = []
    for (start, end), window in zip(times, prediction.windows, strict=True):
        genre = max(window, key=window.__getitem__)
        windows.append(
            {"start": start, "end": end, "genre": genre, "confidence": window[genre], "probabilities": dict(window)}
        )
    return (
        file_fields
        | {
            "genre": prediction.genre,
            "agrees": agrees(result),
            "confidence": prediction.confidence,
            "uncertain": prediction.uncertain,
            "probabilities": dict(prediction.probabilities),
            "windows": windows,
        }
        | model_fields
    )


def agrees(result: SongResult) -> bool | None:
    """Return whether the file's genre tag is the predicted genre; None if no tag is a genre of the model.

    Names are compared in their normal form, as in `raygenre.evaluation.genre_names`. If several genres are tagged, one
    match suffices.
    """
    if not (prediction := result.prediction):
        return None
    names = [name for genre in result.tags.genres for name in (genre, *_SEPARATORS.split(genre))]
    tagged = {normal_form(name) for name in names} & {normal_form(genre) for genre in prediction.probabilities}
    return normal_form(prediction.genre) in tagged if tagged else None


def summary_text(results: Sequence[SongResult]) -> str:
    """Return a text with the number of songs per genre and the number of predictions that agree with the genre tags.

    Uncertain and failed songs are counted separately, not as songs of a genre.
    """
    predictions = [result.prediction for result in results if result.prediction]
    counts = Counter(prediction.genre for prediction in predictions if not prediction.uncertain)
    parts = [", ".join(f"{printable(genre)} {count}" for genre, count in counts.most_common())] if counts else []
    if uncertain := len(predictions) - counts.total():
        parts.append(f"{uncertain} uncertain")
    if failed := len(results) - len(predictions):
        parts.append(f"{failed} failed")
    certain = [result for result in results if result.prediction and not result.prediction.uncertain]
    if tagged := [agreement for result in certain if (agreement := agrees(result)) is not None]:
        parts.append(f"{sum(tagged)} of {len(tagged)} agree with their genre tags")
    songs = f"{len(results)} song" + "s" * (len(results) != 1)
    return f"{songs}: {'; '.join(parts)}" if parts else "no songs"


def results_table(results: Sequence[SongResult], genres: Sequence[str], trained_on: TrainingData) -> "pd.DataFrame":
    """Return the table described in the module's docstring."""
    import pandas as pd  # imported here because most calls of the command need no table

    rows = []
    for result in results:
        row: dict[str, object] = {
            "path": exact(result.path),
            "artist": exact(result.tags.artist),
            "album": exact(result.tags.album),
            "title": exact(result.tags.title),
            "tagged_genre": exact("; ".join(result.tags.genres)),
            "trained_on": trained_on.kind,
            "error": result.error,
        }
        if prediction := result.prediction:
            row |= {
                "genre": prediction.genre,
                "agrees": agrees(result),
                "confidence": prediction.confidence,
                "uncertain": prediction.uncertain,
                "seconds": result.times[-1][1] if result.times else None,
                "windows": len(prediction.windows),
            }
            row |= {genre_column(genre): share for genre, share in prediction.probabilities.items()}
        rows.append(row)
    columns = [*_FIXED_COLUMNS[:-2], *map(genre_column, genres), *_FIXED_COLUMNS[-2:]]
    shares = dict.fromkeys(["confidence", "seconds", *map(genre_column, genres)], "float64")
    texts = dict.fromkeys(["path", *_TAG_COLUMNS, "genre", "trained_on", "error"], "str")
    answers = dict.fromkeys(["agrees", "uncertain"], "boolean")
    return pd.DataFrame(rows, columns=columns).astype(shares | texts | answers | {"windows": "Int64"})


def encode_table(frame: "pd.DataFrame", suffix: str) -> bytes:
    """Return a table encoded in the format that the suffix specifies.

    Raises:
        ValueError: the suffix is neither .csv nor .parquet.
    """
    if suffix.lower() == ".csv":
        cells = frame.astype(object).where(frame.notna(), "")
        return csv_text([frame.columns, *cells.itertuples(index=False)]).encode()
    if suffix.lower() == ".parquet":
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False, engine="pyarrow")
        return buffer.getvalue()
    raise ValueError(f"a table is a .csv or .parquet file, not {suffix or 'a file without a suffix'}")


def partial_path(output: Path) -> Path:
    """Return the path of the table that an interrupted run writes."""
    return output.with_stem(f"{output.stem}.partial")


def remove_partial(output: Path, frame: "pd.DataFrame") -> None:
    """Delete the table of an interrupted run, which the complete table replaces.

    A file of that name with different columns is kept: it may be the user's own, or belong to a model with other
    genres.
    """
    path = partial_path(output)
    with suppress(OSError):  # the complete table has been written, so the command has succeeded
        if path.is_file() and _has_columns(path, frame):
            path.unlink()


def _has_columns(path: Path, frame: "pd.DataFrame") -> bool:
    if path.suffix.lower() == ".csv":
        header = encode_table(frame.iloc[:0], ".csv")
        with path.open("rb") as file:
            return file.read(len(header)) == header
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return bool(parquet.read_schema(path).names == list(frame.columns))
    except pa.ArrowException:  # not Parquet, or damaged
        return False


def genre_column(genre: str, fixed: Sequence[str] = _FIXED_COLUMNS) -> str:
    """Return the name of a genre's column: the genre, unless a fixed column has that name."""
    return f"{genre} (genre)" if genre in fixed else genre
