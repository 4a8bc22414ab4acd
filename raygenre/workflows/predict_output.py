"""The results of predictions as a summary, JSON objects and a table.

The table has one row per file. Its columns are path, genre, confidence, uncertain, seconds (end of the last window with
sound), windows (number of windows), one column per genre with its probability, trained_on (kind of the model's training
data; see `TrainingData`), and error (empty if there was none).
"""

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from raygenre.evaluation.training_data import TrainingData
from raygenre.system.printable import printable
from raygenre.workflows.predict import SongResult

if TYPE_CHECKING:
    import pandas as pd

TABLES = (".csv", ".parquet")

_FIXED_COLUMNS = ("path", "genre", "confidence", "uncertain", "seconds", "windows", "trained_on", "error")


def json_record(result: SongResult, model: str, trained_on: TrainingData) -> dict[str, object]:
    """Return a result as a JSON object: the prediction with all windows or the error, and the model and its data."""
    model_fields: dict[str, object] = {"model": model, "trained_on": asdict(trained_on)}
    prediction = result.prediction
    if not prediction:
        return {"file": printable(result.path), "error": result.error} | model_fields
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
    } | model_fields


def summary_text(results: Sequence[SongResult]) -> str:
    """Return the number of songs per genre; uncertain and failed songs are counted apart, not as songs of a genre."""
    predictions = [result.prediction for result in results if result.prediction]
    counts = Counter(prediction.genre for prediction in predictions if not prediction.uncertain)
    parts = [", ".join(f"{genre} {count}" for genre, count in counts.most_common())] if counts else []
    if uncertain := len(predictions) - counts.total():
        parts.append(f"{uncertain} uncertain")
    if failed := len(results) - len(predictions):
        parts.append(f"{failed} failed")
    songs = f"{len(results)} song" + "s" * (len(results) != 1)
    return f"{songs}: {'; '.join(parts)}" if parts else "no songs"


def results_table(results: Sequence[SongResult], genres: Sequence[str], trained_on: TrainingData) -> "pd.DataFrame":
    """Return the table described in the module's docstring."""
    import pandas as pd  # only here, because most calls of the command need no table

    rows = []
    for result in results:
        row: dict[str, object] = {
            "path": printable(result.path),
            "trained_on": trained_on.kind,
            "error": result.error,
        }
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
    columns = [*_FIXED_COLUMNS[:-2], *map(_column, genres), *_FIXED_COLUMNS[-2:]]
    shares = dict.fromkeys(["confidence", "seconds", *map(_column, genres)], "float64")
    texts = dict.fromkeys(["path", "genre", "trained_on", "error"], "str")
    return pd.DataFrame(rows, columns=columns).astype(shares | texts | {"uncertain": "boolean", "windows": "Int64"})


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


def _column(genre: str) -> str:
    """Return the name of a genre's column: the genre, unless a fixed column has that name."""
    return f"{genre} (genre)" if genre in _FIXED_COLUMNS else genre
