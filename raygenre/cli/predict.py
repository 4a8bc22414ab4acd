"""`raygenre predict`: name the genre of songs."""

import json
import textwrap
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from raygenre.cli.console import INTERRUPTED, bar, err, fail, name_failures, out

if TYPE_CHECKING:
    from raygenre.model.classifier import Classifier
    from raygenre.workflows.predict import Answer


def predict(
    sources: Annotated[
        list[Path], typer.Argument(help="Songs, dataset-style PNGs, folders of them, playlists (.m3u, .m3u8).")
    ],
    model: Annotated[str, typer.Option(help="models:/NAME@ALIAS, models:/NAME/VERSION or a classifier's folder.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON a file instead of a table.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the table to a .csv or .parquet file.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw one song's spectrogram, and its genres over time, as a PNG.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=0, help="Processes; 0: one a core, or one for few songs.")] = 0,
    storage: Annotated[str | None, typer.Option(help="./results by default.")] = None,
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow server instead of the embedded SQLite.")] = None,
) -> None:
    """Name the genre of songs.

    Nothing is fetched from a network. A file that fails is named with the reason, and the others go on. The file of
    --output is written whole at the end; after Ctrl-C what was done by then lies beside it as NAME.partial.csv.
    """
    from raygenre.registry import versions
    from raygenre.system import worker_pool
    from raygenre.system.storage import resolve
    from raygenre.workflows import predict as batch

    if output and output.suffix.lower() not in batch.TABLES:
        fail(f"{output} is to be a table; give it the suffix {' or '.join(batch.TABLES)}")
    found = batch.expand(sources)
    for entry, reason in found.skipped:
        err.print(f"[yellow]skipped:[/yellow] {escape(f'{entry}: {reason}')}", highlight=False, soft_wrap=True)
    if plot and len(found.songs) != 1:
        fail(f"--plot draws one song, and here are {len(found.songs)}")
    if plot and plot.suffix.lower() != ".png":
        fail(f"{plot} is to be a picture; give it the suffix .png")
    try:
        fetched = versions.fetch(resolve(storage, tracking_uri), model or versions.CHAMPION_URI)
    except (versions.RegistryError, ValueError) as error:
        fail(str(error))
    if plot:
        _plot(fetched.classifier, found.songs[0], plot)
    answers: list[Answer] = []
    interrupted = False
    try:
        with (
            bar() as progress,
            closing(
                batch.predict(fetched.classifier, found.songs, jobs=jobs or worker_pool.suitable_jobs(len(found.songs)))
            ) as coming,
        ):
            for answer in progress.track(coming, total=len(found.songs), description="listening"):
                answers.append(answer)
                if as_json:
                    out.file.write(json.dumps(batch.record(answer) | {"model": fetched.name}) + "\n")
                    out.file.flush()
    except KeyboardInterrupt:
        interrupted = True
    if output:
        _write(
            answers, fetched.classifier.genres, output.with_stem(output.stem + ".partial") if interrupted else output
        )
    elif not as_json:
        _print(answers)
    if interrupted:
        out.print(f"interrupted after {len(answers)} of {len(found.songs)} songs", highlight=False, soft_wrap=True)
        raise typer.Exit(INTERRUPTED)
    failures = [(batch.printable(answer.path), answer.error) for answer in answers if answer.error]
    name_failures([*found.failed, *failures])


def _print(answers: "Sequence[Answer]") -> None:
    """A table of the songs, and under it the longer ones over time."""
    from raygenre.workflows import timeline
    from raygenre.workflows.predict import printable

    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("file", overflow="fold")
    for column in ("genre", "confidence", "next"):
        table.add_column(column, no_wrap=True)
    notes = []
    for answer in answers:
        if not (prediction := answer.prediction):
            continue
        ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
        rest = ", ".join(f"{genre} {timeline.percent(share)}" for genre, share in ranked[1:3])
        name = escape(printable(Path(answer.path.name)))
        genre = escape(prediction.genre) + (" [yellow]uncertain[/yellow]" if prediction.uncertain else "")
        table.add_row(name, genre, timeline.percent(prediction.confidence), escape(rest))
        if len(answer.times) > 1:
            # No line is broken within a stretch; textwrap leaves the no-break space alone, as Rich would not.
            parts = [
                part.replace(" ", "\u00a0") for part in timeline.words(timeline.stretches(answer.times, prediction))
            ]
            text = f"{printable(Path(answer.path.name))}: {', '.join(parts)}"
            notes.append(textwrap.fill(text, out.width, subsequent_indent="  ", break_long_words=False))
    if table.row_count:
        out.print(table)
    for note in notes:
        out.print(note.replace("\u00a0", " "), highlight=False, soft_wrap=True, markup=False)


def _write(answers: "Sequence[Answer]", genres: Sequence[str], path: Path) -> None:
    from raygenre.system.atomic_write import write_atomically
    from raygenre.workflows import predict as batch

    try:
        write_atomically(path, batch.table_file(batch.table(answers, genres), path.suffix))
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}")
    counts = Counter(answer.prediction.genre for answer in answers if answer.prediction)
    said = ", ".join(f"{genre} {count}" for genre, count in counts.most_common())
    out.print(f"{path}: {said or 'no song'}", highlight=False, soft_wrap=True, markup=False)


def _plot(classifier: "Classifier", song: Path, path: Path) -> None:
    from raygenre.spectrogram.song import read
    from raygenre.system.atomic_write import write_atomically
    from raygenre.workflows import timeline
    from raygenre.workflows.predict import printable

    try:
        heard = read(song)
    except (ValueError, OSError):
        return  # which the table will name
    picture = timeline.picture(heard, classifier.predict(heard), printable(Path(song.name)))
    try:
        write_atomically(path, picture)
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}")
