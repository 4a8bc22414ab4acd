"""`raygenre predict`: predict the genre of songs."""

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raygenre.cli.checks import check_local, check_output
from raygenre.cli.console import (
    err,
    fail,
    out,
    print_left_out,
    print_warning,
    report_failures,
)
from raygenre.cli.options import (
    CacheOption,
    ClusterOption,
    ModelOption,
    StorageOption,
    TrackingUriOption,
    VerboseOption,
)
from raygenre.cli.predict_cluster import predict_on_cluster
from raygenre.cli.predict_remote import predict_remote
from raygenre.cli.predict_report import write_plot
from raygenre.cli.predict_run import ModelInUse, report_predictions
from raygenre.cli.predict_tags import predict_tags
from raygenre.system.printable import printable

if TYPE_CHECKING:
    from raygenre.model.classifier import Classifier
    from raygenre.workflows.prediction_cache import PredictionCache


def predict(
    sources: Annotated[
        list[str],
        typer.Argument(
            path_type=str,
            help="Songs, spectrogram PNGs, folders of them, playlists (.m3u, .m3u8); with --address, also URLs such as "
            "s3://BUCKET/PATH and Parquet files.",
        ),
    ],
    model: ModelOption = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per file instead of a table.")] = False,
    output_name: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            path_type=str,
            help="Write the table to a .csv or .parquet file; with --address, Parquet files to a folder or URL.",
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Plot one song's spectrogram and its genres over time as a PNG.")
    ] = None,
    playlists: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a playlist (.m3u8) of each genre's songs to a folder.")
    ] = None,
    tags: Annotated[
        bool,
        typer.Option("--tags", help="Predict the pretrained network's tags instead of your genres, without training."),
    ] = False,
    url: Annotated[
        str,
        typer.Option(
            metavar="http://HOST:8000",
            show_default=False,
            help="Get the predictions from an endpoint; set $RAYGENRE_API_KEY if it requires an API key.",
        ),
    ] = "",
    jobs: Annotated[
        int,
        typer.Option(
            min=0,
            help="Worker processes; 0: one per core, or one for few songs. With --url, concurrent requests; 0: four. "
            "With --address, workers on the cluster; 0: one per CPU.",
        ),
    ] = 0,
    address: ClusterOption = "",
    column: Annotated[
        str,
        typer.Option(
            show_default=False,
            help="With --address: Parquet column that contains paths or file contents (default: path).",
        ),
    ] = "",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="With --address: retry songs that have errors in --output.")
    ] = False,
    longest: Annotated[
        float, typer.Option(metavar="SECONDS", min=3, show_default="no limit", help="Reject songs longer than this.")
    ] = math.inf,
    use_cache: CacheOption = True,
    verbose: VerboseOption = False,
    storage_folder: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
) -> None:
    """Predict the genre of songs or, without a champion, the pretrained network's tags for them.

    Playlist entries are never downloaded. Unusable files are listed at the end and do not stop the run. The --output
    table and the playlists are written at the end; after Ctrl-C, the results so far are in NAME.partial.csv, and
    running the same command again continues. With --address, every song's rows are written as soon as it is done.
    """
    from raygenre.data.folder_scan import scan_notes
    from raygenre.evaluation.training_data import TrainingData
    from raygenre.registry.versions import CHAMPION_URI, NoModelError, fetch
    from raygenre.system.storage import resolve
    from raygenre.system.worker_pool import suitable_jobs
    from raygenre.tracking.server import Server
    from raygenre.workflows.playlists import check_playlists
    from raygenre.workflows.predict import predict_unordered
    from raygenre.workflows.predict_output import TABLES
    from raygenre.workflows.sources import expand_sources, missing_songs

    if address:
        if as_json or plot or playlists or tags or url or not use_cache:
            fail(
                "--address writes Parquet files to --output; it cannot be combined with --json, --plot, --playlists, "
                "--tags, --url, --no-cache"
            )
        if not output_name:
            fail("--address requires --output: a folder, or a URL such as s3://BUCKET/PATH, for Parquet files")
        predict_on_cluster(
            sources,
            Server(resolve(storage_folder, tracking_uri)),
            address,
            output_name,
            model=model,
            column=column,
            jobs=jobs,
            longest_seconds=longest,
            retry_failed=retry_failed,
            verbose=verbose,
        )
        return
    check_local([*sources, output_name or ""])
    if column or retry_failed:
        fail("--column and --retry-failed require --address")
    output = Path(output_name) if output_name else None
    if output and output.suffix.lower() not in TABLES:
        fail(f"--output writes a table: {output} must end in {' or '.join(TABLES)}")
    if plot and plot.suffix.lower() != ".png":
        fail(f"--plot writes a PNG: {plot} must end in .png")
    check_output(output)
    check_output(plot)
    files = expand_sources([Path(source) for source in sources])
    for entry, reason in files.skipped:
        print_warning(f"{printable(entry)}: {reason}", "skipped:")
    print_left_out(scan_notes(files.clutter, files.left_out), files.left_out if verbose else [])
    if plot and len(files.songs) != 1:
        fail(f"--plot requires exactly one song, not {len(files.songs)}")
    missing = missing_songs(files.songs)
    if len(missing) == len(files.songs):  # before loading the model, which takes several seconds
        report_failures([*files.failed, *missing])
    if url:
        if model or plot or tags or storage_folder or tracking_uri or not use_cache or longest < math.inf:
            fail(
                "--url uses an endpoint, which has its own model and limits; it cannot be combined with --model, "
                "--plot, --tags, --longest, --no-cache, --storage, --tracking-uri"
            )
        predict_remote(files, url, at_once=jobs, as_json=as_json, output=output, playlists=playlists)
        return
    place = resolve(storage_folder, tracking_uri)
    if tags:
        if model or output or plot or playlists:
            fail(
                "--tags prints a chart or, with --json, JSON lines; it cannot be combined with --model, --output, "
                "--plot, --playlists"
            )
        predict_tags(files, as_json=as_json, jobs=jobs, longest_seconds=longest)
        return
    try:
        fetched = fetch(Server(place), model or CHAMPION_URI)
    except NoModelError as error:
        if model or output or plot or playlists:
            raise
        predict_tags(files, as_json=as_json, jobs=jobs, longest_seconds=longest, no_champion=error)
        return
    classifier = fetched.classifier
    trained_on = TrainingData.of(classifier, fetched.facts)
    notes = err if as_json else out  # with --json, stdout contains only JSON lines
    if playlists:
        check_playlists(playlists, classifier.genres)
    if plot:
        write_plot(classifier, files.songs[0], plot, trained_on.warning, notes)
    cache = open_cache(classifier, place.cache / "predictions") if use_cache else None
    report_predictions(
        files,
        predict_unordered(
            classifier,
            files.songs,
            jobs=jobs or suitable_jobs(len(files.songs)),
            cache=cache,
            longest_seconds=longest,
        ),
        ModelInUse(fetched.name, classifier.genres, trained_on),
        as_json=as_json,
        output=output,
        playlists=playlists,
        resumes=cache is not None,
    )


def open_cache(classifier: "Classifier", folder: Path) -> "PredictionCache | None":
    """Return the prediction cache; if its folder cannot be used, print a warning and return None."""
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
