"""`raygenre predict`: predict the genre of songs."""

import math
import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raygenre.cli.checks import check_output
from raygenre.cli.console import (
    INTERRUPTED,
    bar,
    err,
    fail,
    out,
    print_failures,
    print_left_out,
    print_warning,
    report_failures,
    styled,
)
from raygenre.cli.options import CacheOption, ModelOption, StorageOption, TrackingUriOption, VerboseOption
from raygenre.cli.predict_report import print_json, print_table, write_plot, write_table
from raygenre.cli.predict_tags import predict_tags
from raygenre.errors import file_errors
from raygenre.system.printable import printable

if TYPE_CHECKING:
    from raygenre.model.classifier import Classifier
    from raygenre.workflows.predict import SongResult
    from raygenre.workflows.prediction_cache import PredictionCache


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
    playlists: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a playlist (.m3u8) of each genre's songs to a folder.")
    ] = None,
    tags: Annotated[
        bool,
        typer.Option("--tags", help="Name the pretrained network's tags instead of your genres; needs no training."),
    ] = False,
    jobs: Annotated[int, typer.Option(min=0, help="Worker processes; 0: one per core, or one for few songs.")] = 0,
    longest: Annotated[
        float, typer.Option(metavar="SECONDS", min=3, show_default="no limit", help="Refuse songs longer than this.")
    ] = math.inf,
    use_cache: CacheOption = True,
    verbose: VerboseOption = False,
    storage_folder: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
) -> None:
    """Predict the genre of songs, or without a champion, the tags that the pretrained network hears in them.

    Playlist entries are never downloaded. Unusable files are listed at the end and do not stop the run. The --output
    table and the playlists are written at the end; after Ctrl-C, the results so far are in NAME.partial.csv, and
    running the same command again continues.
    """
    from raygenre.data.folder_scan import scan_notes
    from raygenre.evaluation.training_data import TrainingData
    from raygenre.registry.versions import CHAMPION_URI, NoModelError, fetch
    from raygenre.system.storage import resolve
    from raygenre.system.worker_pool import suitable_jobs
    from raygenre.workflows.playlists import check_playlists, write_playlists
    from raygenre.workflows.predict import predict_unordered
    from raygenre.workflows.predict_output import TABLES, summary_text
    from raygenre.workflows.sources import expand_sources, missing_songs

    if output and output.suffix.lower() not in TABLES:
        fail(f"--output writes a table: {output} needs the suffix {' or '.join(TABLES)}")
    if plot and plot.suffix.lower() != ".png":
        fail(f"--plot writes a PNG: {plot} needs the suffix .png")
    check_output(output)
    check_output(plot)
    files = expand_sources(sources)
    for entry, reason in files.skipped:
        print_warning(f"{printable(entry)}: {reason}", "skipped:")
    print_left_out(scan_notes(files.clutter, files.left_out), files.left_out if verbose else [])
    if plot and len(files.songs) != 1:
        fail(f"--plot takes exactly one song, not {len(files.songs)}")
    missing = missing_songs(files.songs)
    if len(missing) == len(files.songs):  # reported at once, because loading a model takes seconds
        report_failures([*files.failed, *missing])
    place = resolve(storage_folder, tracking_uri)
    if tags:
        if model or output or plot or playlists:
            fail(
                "--tags prints a chart or, with --json, JSON lines; it takes no --model, --output, --plot, --playlists"
            )
        predict_tags(files, as_json=as_json, jobs=jobs, longest_seconds=longest)
        return
    try:
        fetched = fetch(place, model or CHAMPION_URI)
    except NoModelError as error:
        if model or output or plot or playlists:
            raise
        predict_tags(files, as_json=as_json, jobs=jobs, longest_seconds=longest, no_champion=error)
        return
    classifier = fetched.classifier
    trained_on = TrainingData.of(classifier, fetched.facts)
    notes = err if as_json else out  # with --json, stdout has nothing but JSON lines
    if playlists:
        check_playlists(playlists, classifier.genres)
    if plot:
        write_plot(classifier, files.songs[0], plot, trained_on.warning, notes)
    cache = open_cache(classifier, place.cache / "predictions") if use_cache else None
    songs = files.songs
    finished: dict[int, SongResult] = {}
    printed = 0  # songs whose JSON line is printed
    interrupted = False
    try:
        with (
            bar() as progress,
            closing(
                predict_unordered(
                    classifier,
                    songs,
                    jobs=jobs or suitable_jobs(len(songs)),
                    cache=cache,
                    longest_seconds=longest,
                )
            ) as stream,
        ):
            task = progress.add_task("predicting", total=len(songs))
            for number, result in stream:
                finished[number] = result
                progress.advance(task)
                while as_json and printed in finished:
                    printed += 1
                    print_json(finished[printed - 1], fetched.name, trained_on)
    except KeyboardInterrupt:
        interrupted = True
    results = [finished[number] for number in sorted(finished)]
    if as_json:  # after Ctrl-C, also the songs that are finished although an earlier one is not
        for number in sorted(finished.keys() - range(printed)):
            print_json(finished[number], fetched.name, trained_on)
    full_list = "the JSON lines" if as_json else ""
    if output:
        path = write_table(results, classifier.genres, trained_on, output, interrupted=interrupted)
        notes.print(f"{printable(path)}: {summary_text(results)}", soft_wrap=True)
        full_list = f"the column `error` of {printable(path)}"
    elif not as_json:
        print_table(results, files.root)
    if playlists and not interrupted:
        with file_errors("the playlists cannot be written"):
            written = write_playlists(playlists, results, classifier.genres, files.root)
        counts = ", ".join(f"{path.name} {count}" for path, count in written)
        notes.print(f"{printable(playlists)}: {counts or 'no songs'}", soft_wrap=True)
    if cached := sum(result.is_cached for result in results):
        count = "1 prediction comes" if cached == 1 else f"{cached} predictions come"
        notes.print(f"{count} from the cache; --no-cache computes again", soft_wrap=True)
    if trained_on.warning and not as_json:
        text = f"{printable(fetched.name)} was {trained_on.warning}: its answers for real songs mean nothing"
        out.print(styled("warning:", "bold yellow"), text, soft_wrap=True)
    if interrupted:
        hint = "; run the same command again to continue" if cache else ""
        notes.print(f"interrupted after {len(results)} of {len(songs)} songs{hint}", soft_wrap=True)
    print_failures(files.failed)
    failures = [(printable(result.path), result.error) for result in results if result.error]
    print_failures(failures, full_list)
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    if files.failed or failures:
        raise typer.Exit(1)


def open_cache(classifier: "Classifier", folder: Path) -> "PredictionCache | None":
    """Return the cache, or print why there is none."""
    from raygenre.workflows.prediction_cache import PredictionCache

    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError("Permission denied")
    except OSError as error:
        reason = error.strerror or str(error)
        print_warning(f"predictions are not cached, so an interrupted run starts again: {printable(folder)}: {reason}")
        return None
    return PredictionCache.of(classifier, folder)
