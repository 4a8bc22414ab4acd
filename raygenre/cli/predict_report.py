"""The output of `raygenre predict`: JSON lines, tables and the plot."""

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table

from raygenre.cli.console import out, styled, write_file
from raygenre.errors import RaygenreError
from raygenre.system.printable import printable

if TYPE_CHECKING:
    from raygenre.evaluation.training_data import TrainingData
    from raygenre.model.classifier import Classifier
    from raygenre.workflows.predict import SongResult


_UNLIMITED = 1_000_000  # columns, so that a table can be as wide as its longest names


def print_json(result: "SongResult", model: str, trained_on: "TrainingData") -> None:
    """Print a result as one line of JSON."""
    from raygenre.workflows.predict_output import json_record

    out.file.write(json.dumps(json_record(result, model, trained_on)) + "\n")
    out.file.flush()


def print_table(results: "Sequence[SongResult]", root: Path) -> None:
    """Print a table of the songs, the genres of longer songs over time, and the counts.

    The counts are omitted if there is only one song.
    """
    from raygenre.workflows import timeline
    from raygenre.workflows.predict_output import summary_text
    from raygenre.workflows.sources import relative_name

    has_tags = any(result.prediction and result.tags.genres for result in results)
    rows: list[tuple[RenderableType, ...]] = []
    notes = []
    for result in results:
        if not (prediction := result.prediction):
            continue
        ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
        rest = ", ".join(f"{printable(genre)} {timeline.percent(share)}" for genre, share in ranked[1:3])
        name = relative_name(result.path, root)
        genre = styled(printable(prediction.genre), "")
        if prediction.uncertain:
            genre.append(" uncertain", "yellow")
        tagged = [printable(", ".join(result.tags.genres)) or "–"] if has_tags else []
        rows.append((name, genre, *tagged, timeline.percent(prediction.confidence), rest))
        if len(result.times) > 1:
            # No-break spaces keep each stretch of the song on one line. textwrap respects them, but Rich does not.
            stretches = timeline.stretches(result.times, prediction)
            parts = [text.replace(" ", "\u00a0") for text in timeline.stretch_texts(stretches)]
            text = f"{name}: {', '.join(parts)}"
            notes.append(textwrap.fill(text, out.width, subsequent_indent="  ", break_long_words=False))
    if rows:
        columns = ("file", "genre", *["tagged"] * has_tags, "confidence", "next")
        table = _table(columns, rows)
        if Measurement.get(out, out.options.update(width=_UNLIMITED), table).maximum > out.width:
            table = _table(columns[:-1], [row[:-1] for row in rows])  # a complete name is more useful than more genres
        out.print(table)
    for note in notes:
        out.print(note.replace("\u00a0", " "), soft_wrap=True)
    if len(results) > 1:
        out.print(summary_text(results), soft_wrap=True)


def _table(columns: Sequence[str], rows: Sequence[tuple[RenderableType, ...]]) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for column in columns:
        if column in ("file", "tagged"):
            table.add_column(column, overflow="fold")
        else:
            table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def write_table(
    results: "Sequence[SongResult]",
    genres: Sequence[str],
    trained_on: "TrainingData",
    output: Path,
    *,
    interrupted: bool,
) -> Path:
    """Write the table of the results to a .csv or .parquet file, and return its path.

    The table of an interrupted run is written to a file with a different name, which is deleted once the complete table
    has been written.
    """
    from raygenre.workflows.predict_output import encode_table, partial_path, remove_partial, results_table

    path = partial_path(output) if interrupted else output
    table = results_table(results, genres, trained_on)
    write_file(path, encode_table(table, path.suffix))
    if not interrupted:
        remove_partial(output, table)
    return path


def write_plot(classifier: "Classifier", path: Path, output: Path, warning: str, notes: Console) -> None:
    """Plot a song's spectrogram and genres over time as a PNG, and print its path to `notes`."""
    from raygenre.workflows import plotted_song, timeline

    try:
        song = plotted_song.classify(classifier, path)
    except (RaygenreError, OSError):
        return  # the prediction decodes the song again and reports the failure
    write_file(output, timeline.plot_png(song, printable(Path(path.name)), warning))
    notes.print(f"Plot of {printable(path)}: {printable(output)}", soft_wrap=True)
