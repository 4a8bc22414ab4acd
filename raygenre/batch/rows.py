"""The rows of predictions in Parquet files: one row for each window of a song.

A song without a prediction has one row.

Columns:

- path: the song; artist, album, title and tagged_genre: its tags, as in `raygenre.workflows.predict_output`
- genre, confidence, uncertain, seconds, windows: the song's prediction, repeated in each of its rows
- window: number of the window, from 0; null if there is no prediction
- start, end: times of the window in s; null for an image
- one column for each genre: the window's probabilities, float32, exactly as the network returned them
- error: why there is no prediction; empty if there is one
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raygenre.system.printable import exact
from raygenre.workflows.predict import SongResult
from raygenre.workflows.predict_output import genre_column

_TEXTS = ("path", "artist", "album", "title", "tagged_genre", "genre")
_SONG = [*((name, pa.string()) for name in _TEXTS), ("confidence", pa.float64()), ("uncertain", pa.bool_())]
_WINDOW = [("seconds", pa.float64()), ("windows", pa.int32()), ("window", pa.int32()), ("start", pa.float64())]
_FIXED = [*_SONG, *_WINDOW, ("end", pa.float64())]
_ERROR = ("error", pa.string())


@dataclass(frozen=True)
class Rows:
    """Builds table rows from a classifier's predictions for songs.

    Attributes:
        genres: the classifier's genres; each has a column for its probabilities.
    """

    genres: tuple[str, ...]

    @property
    def schema(self) -> pa.Schema:
        """The columns and their types."""
        fixed = [name for name, _ in (*_FIXED, _ERROR)]
        shares = [(genre_column(genre, fixed), pa.float32()) for genre in self.genres]
        return pa.schema([*_FIXED, *shares, _ERROR])

    def table(self, results: Sequence[tuple[str, SongResult]]) -> pa.Table:
        """Return the rows of songs, given each song's name and result."""
        rows = [row for name, result in results for row in self._rows(name, result)]
        columns = list(zip(*rows, strict=True)) or [()] * len(self.schema)
        return pa.table([pa.array(values, kind) for values, kind in zip(columns, self.schema.types, strict=True)],
                        schema=self.schema)  # fmt: skip

    def _rows(self, name: str, result: SongResult) -> list[tuple[Any, ...]]:
        tags = result.tags
        texts = (name, tags.artist, tags.album, tags.title, "; ".join(tags.genres))
        song: tuple[Any, ...] = tuple(map(exact, texts))
        if not (prediction := result.prediction):
            nothing = (None,) * (len(self.schema) - len(song) - 1)
            return [(*song, *nothing, result.error)]
        times = result.times or [(None, None)] * len(prediction.windows)
        seconds = result.times[-1][1] if result.times else None
        song += (prediction.genre, prediction.confidence, prediction.uncertain, seconds, len(prediction.windows))
        return [
            (*song, number, *span, *(window[genre] for genre in self.genres), "")
            for number, (span, window) in enumerate(zip(times, prediction.windows, strict=True))
        ]


def first_rows(table: pa.Table) -> pa.Table:
    """Return one row for each song: the row of its first window, or the row with its error."""
    return table.filter(pc.fill_null(pc.less_equal(table["window"], 0), True))
