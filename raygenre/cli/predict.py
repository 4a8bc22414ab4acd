"""`raygenre predict`: predict the genre of songs."""

import json
import textwrap
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from raygenre.cli.checks import check_output
from raygenre.cli.console import INTERRUPTED, bar, err, fail, out, print_failures, report_failures, write_file
from raygenre.cli.options import ModelOption, StorageOption, TrackingUriOption
from raygenre.cli.predict_tags import predict_tags
from raygenre.errors import RaygenreError
from raygenre.system.printable import printable

if TYPE_CHECKING:
    from raygenre.evaluation.training_data import TrainingData
    from raygenre.model.classifier import Classifier
    from raygenre.workflows.predict import SongResult


def predict(
    sources: Annotated[
        list[Path], typer.Argument(help="Songs, spectrogram PNGs, folders of them, playlists (.m3u, .m3u8).")
    ],
    model: ModelOption = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per file instead of a table.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the table to a .csv or .parquet file.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Plot one song's spectrogram and its genres over time to a PNG.")
    ] = None,
    tags: Annotated[
        bool,
        typer.Option("--tags", help="Name the pretrained network's tags instead of your genres; needs no training."),
    ] = False,
    jobs: Annotated[int, typer.Option(min=0, help="Worker processes; 0: one per core, or one for few songs.")] = 0,
    storage_folder: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
) -> None:
    """Predict the genre of songs, or without a champion, the tags that the pretrained network hears in them.

    Playlist entries are never downloaded. Unusable files are listed at the end and do not stop the run. The --output
    table is written at the end; after Ctrl-C, the results so far are in NAME.partial.csv.
    """
    from raygenre.evaluation.training_data import TrainingData
    from raygenre.registry.versions import CHAMPION_URI, NoModelError, fetch
    from raygenre.system.storage import resolve
    from raygenre.system.worker_pool import suitable_jobs
    from raygenre.workflows.predict import predict_songs
    from raygenre.workflows.predict_output import TABLES, json_record, summary_text
    from raygenre.workflows.sources import expand_sources, missing_songs

    if output and output.suffix.lower() not in TABLES:
        fail(f"--output writes a table: {output} needs the suffix {' or '.join(TABLES)}")
    if plot and plot.suffix.lower() != ".png":
        fail(f"--plot writes a PNG: {plot} needs the suffix .png")
    check_output(output)
    check_output(plot)
    files = expand_sources(sources)
    for entry, reason in files.skipped:
        err.print(f"[yellow]skipped:[/yellow] {escape(f'{entry}: {reason}')}", highlight=False, soft_wrap=True)
    if plot and len(files.songs) != 1:
        fail(f"--plot takes exactly one song, not {len(files.songs)}")
    missing = missing_songs(files.songs)
    if len(missing) == len(files.songs):  # reported at once, because loading a model takes seconds
        report_failures([*files.failed, *missing])
    if tags:
        if model or output or plot:
            fail("--tags prints a chart or, with --json, JSON lines; it takes no --model, --output or --plot")
        predict_tags(files, as_json=as_json, jobs=jobs)
        return
    try:
        fetched = fetch(resolve(storage_folder, tracking_uri), model or CHAMPION_URI)
    except NoModelError as error:
        if model or output or plot:
            raise
        predict_tags(files, as_json=as_json, jobs=jobs, no_champion=error)
        return
    trained_on = TrainingData.of(fetched.classifier, fetched.facts)
    notes = err if as_json else out  # with --json, stdout has nothing but JSON lines
    if plot:
        _plot(fetched.classifier, files.songs[0], plot, trained_on.warning, notes)
    songs = files.songs
    results: list[SongResult] = []
    interrupted = False
    try:
        with (
            bar() as progress,
            closing(predict_songs(fetched.classifier, songs, jobs=jobs or suitable_jobs(len(songs)))) as stream,
        ):
            for result in progress.track(stream, total=len(songs), description="predicting"):
                results.append(result)
                if as_json:
                    out.file.write(json.dumps(json_record(result, fetched.name, trained_on)) + "\n")
                    out.file.flush()
    except KeyboardInterrupt:
        interrupted = True
    full_list = "the JSON lines" if as_json else ""
    if output:
        path = output.with_stem(f"{output.stem}.partial") if interrupted else output
        _write_table(results, fetched.classifier.genres, trained_on, path)
        notes.print(f"{path}: {summary_text(results)}", highlight=False, soft_wrap=True, markup=False)
        full_list = f"the column `error` of {path}"
    elif not as_json:
        _print(results, files.root)
    if trained_on.warning and not as_json:
        text = f"[bold yellow]warning:[/bold yellow] {escape(fetched.name)} was {trained_on.warning}: its answers for "
        out.print(f"{text}real songs mean nothing", highlight=False, soft_wrap=True)
    if interrupted:
        notes.print(f"interrupted after {len(results)} of {len(songs)} songs", highlight=False, soft_wrap=True)
    print_failures(files.failed)
    failures = [(printable(result.path), result.error) for result in results if result.error]
    print_failures(failures, full_list)
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    if files.failed or failures:
        raise typer.Exit(1)


def _print(results: "Sequence[SongResult]", root: Path) -> None:
    """Print a table of the songs, followed by the genres of longer songs over time and, for several songs, counts."""
    from raygenre.workflows import timeline
    from raygenre.workflows.predict_output import summary_text
    from raygenre.workflows.sources import relative_name

    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("file", overflow="fold")
    for column in ("genre", "confidence", "next"):
        table.add_column(column, no_wrap=True)
    notes = []
    for result in results:
        if not (prediction := result.prediction):
            continue
        ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
        rest = ", ".join(f"{genre} {timeline.percent(share)}" for genre, share in ranked[1:3])
        name = relative_name(result.path, root)
        genre = escape(prediction.genre) + (" [yellow]uncertain[/yellow]" if prediction.uncertain else "")
        table.add_row(escape(name), genre, timeline.percent(prediction.confidence), escape(rest))
        if len(result.times) > 1:
            # A no-break space keeps a stretch on one line: textwrap respects it, Rich does not.
            stretches = timeline.stretches(result.times, prediction)
            parts = [text.replace(" ", "\u00a0") for text in timeline.stretch_texts(stretches)]
            text = f"{name}: {', '.join(parts)}"
            notes.append(textwrap.fill(text, out.width, subsequent_indent="  ", break_long_words=False))
    if table.row_count:
        out.print(table)
    for note in notes:
        out.print(note.replace("\u00a0", " "), highlight=False, soft_wrap=True, markup=False)
    if len(results) > 1:
        out.print(summary_text(results), highlight=False, soft_wrap=True, markup=False)


def _write_table(
    results: "Sequence[SongResult]", genres: Sequence[str], trained_on: "TrainingData", path: Path
) -> None:
    from raygenre.workflows.predict_output import encode_table, results_table

    write_file(path, encode_table(results_table(results, genres, trained_on), path.suffix))


def _plot(classifier: "Classifier", path: Path, output: Path, warning: str, notes: Console) -> None:
    from raygenre.spectrogram.song import read
    from raygenre.workflows import timeline

    try:
        song = read(path)
    except (RaygenreError, OSError):
        return  # the prediction reports the failure
    write_file(output, timeline.plot_png(song, classifier.predict(song), printable(Path(path.name)), warning))
    notes.print(f"Plot of {printable(path)}: {output}", highlight=False, soft_wrap=True, markup=False)
