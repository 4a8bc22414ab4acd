"""Report predictions: print results as they arrive, and write the table and the playlists."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from raygenre.cli.console import INTERRUPTED, bar, err, out, print_failures, styled
from raygenre.cli.predict_report import print_json, print_table, write_table
from raygenre.errors import file_errors
from raygenre.system.printable import printable

if TYPE_CHECKING:
    from raygenre.evaluation.training_data import TrainingData
    from raygenre.workflows.predict import SongResult
    from raygenre.workflows.sources import Sources


@dataclass(frozen=True)
class ModelInUse:
    """The model that makes the predictions, on this machine or at an endpoint."""

    name: str
    genres: tuple[str, ...]
    trained_on: "TrainingData"


def report_predictions(
    files: "Sources",
    results: "Generator[tuple[int, SongResult], None, None]",
    model: ModelInUse,
    *,
    as_json: bool,
    output: Path | None,
    playlists: Path | None,
    resumes: bool,
) -> None:
    """Print the predictions for all songs as a table or as JSON lines, in the order of the songs.

    Args:
        results: index and result of each song, in the order in which the songs finish.
        output: file to which the table is written; None if no file was requested.
        playlists: folder for one playlist per genre; None if no playlists were requested.
        resumes: whether the same command, run again after Ctrl-C, continues where this run stopped.

    Raises:
        RaygenreError: the table or a playlist cannot be written.
        typer.Exit: with status 1 if a file failed, and with status 130 after Ctrl-C.
    """
    from raygenre.workflows.playlists import write_playlists
    from raygenre.workflows.predict_output import summary_text

    notes = err if as_json else out  # with --json, stdout contains only JSON lines
    songs = files.songs
    finished: dict[int, SongResult] = {}
    printed = 0  # songs whose JSON line has been printed
    interrupted = False
    try:
        with (
            bar() as progress,
            closing(results) as stream,
        ):
            task = progress.add_task("predicting", total=len(songs))
            for number, result in stream:
                finished[number] = result
                progress.advance(task)
                while as_json and printed in finished:
                    printed += 1
                    print_json(finished[printed - 1], model.name, model.trained_on)
    except KeyboardInterrupt:
        interrupted = True
    ordered = [finished[number] for number in sorted(finished)]
    if as_json:  # after Ctrl-C, also print finished songs that follow an unfinished one
        for number in sorted(finished.keys() - range(printed)):
            print_json(finished[number], model.name, model.trained_on)
    full_list = "the JSON lines" if as_json else ""
    if output:
        path = write_table(ordered, model.genres, model.trained_on, output, interrupted=interrupted)
        notes.print(f"{printable(path)}: {summary_text(ordered)}", soft_wrap=True)
        full_list = f"the column `error` of {printable(path)}"
    elif not as_json:
        print_table(ordered, files.root)
    if playlists and not interrupted:
        with file_errors("the playlists cannot be written"):
            written = write_playlists(playlists, ordered, model.genres, files.root)
        counts = ", ".join(f"{path.name} {count}" for path, count in written)
        notes.print(f"{printable(playlists)}: {counts or 'no songs'}", soft_wrap=True)
    if cached := sum(result.is_cached for result in ordered):
        count = "1 prediction was" if cached == 1 else f"{cached} predictions were"
        notes.print(f"{count} read from the cache; use --no-cache to compute again", soft_wrap=True)
    if model.trained_on.warning and not as_json:
        text = f"{printable(model.name)} was {model.trained_on.warning}: its predictions for real songs are meaningless"
        out.print(styled("warning:", "bold yellow"), text, soft_wrap=True)
    if interrupted:
        hint = "; run the same command again to continue" if resumes else ""
        notes.print(f"interrupted after {len(ordered)} of {len(songs)} songs{hint}", soft_wrap=True)
    print_failures(files.failed)
    failures = [(printable(result.path), result.error) for result in ordered if result.error]
    print_failures(failures, full_list)
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    if files.failed or failures:
        raise typer.Exit(1)
