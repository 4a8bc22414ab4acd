"""`raygenre tag`: write the predicted genres into the tags of songs, and take them back."""

from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from raygenre.cli.checks import check_output
from raygenre.cli.console import INTERRUPTED, bar, err, fail, out, print_failures
from raygenre.cli.options import ModelOption, StorageOption, TrackingUriOption
from raygenre.system.printable import printable

if TYPE_CHECKING:
    from raygenre.tagging.plan import Plan
    from raygenre.workflows.predict import SongResult

LOG = Path("raygenre-tags.jsonl")


def tag(
    sources: Annotated[
        list[Path] | None, typer.Argument(help="Songs, folders of them, playlists (.m3u, .m3u8).", show_default=False)
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Write the genres instead of showing them.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace genres that songs already have.")] = False,
    names: Annotated[
        Path | None, typer.Option("--map", help="YAML file with your names of the model's genres.", show_default=False)
    ] = None,
    provenance: Annotated[
        bool, typer.Option("--provenance", help="Also write the model's name and its confidence.")
    ] = False,
    log: Annotated[Path, typer.Option(help="Where --write records the changes, for --undo.")] = LOG,
    undo: Annotated[
        Path | None,
        typer.Option(metavar="LOG", help="Take back the changes that a log records.", show_default=False),
    ] = None,
    model: ModelOption = "",
    jobs: Annotated[int, typer.Option(min=0, help="Worker processes; 0: one per core, or one for few songs.")] = 0,
    storage_folder: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
) -> None:
    """Write the predicted genres into the tags of songs.

    Shows what would be done; --write does it. Songs that have a genre keep it unless --overwrite is given, and nothing
    is written where the model is uncertain. --undo takes back exactly what a log records.
    """
    if undo:
        if sources or write:
            fail("--undo takes a log and no songs")
        _undo(undo)
        return
    if not sources:
        fail("name the songs or folders to tag, or --undo LOG")
    from raygenre.workflows.sources import expand_sources
    from raygenre.workflows.tag import remove_abandoned_copies, survey

    if names:
        from raygenre.tagging.genre_map import read_genre_map

        read_genre_map(names)
    check_output(log if write else None)
    files = expand_sources(sources)
    for entry, reason in files.skipped:
        err.print(f"[yellow]skipped:[/yellow] {escape(f'{entry}: {reason}')}", highlight=False, soft_wrap=True)
    songs = [song for song in files.songs if song.suffix.lower() != ".png" or song in sources]
    if write:
        remove_abandoned_copies(songs)
    with bar() as progress:
        tracked = progress.track(survey(songs, overwrite=overwrite), total=len(songs), description="reading tags")
        surveyed = dict(tracked)
    done: list[Plan] = []
    interrupted = False
    with ExitStack() as stack:
        predictions = _Predictions(model, names, jobs, storage_folder, tracking_uri)
        tag_log = None
        if write:
            from raygenre.tagging.log import TagLog

            tag_log = stack.enter_context(TagLog(log))
        try:
            _run(predictions, surveyed, tag_log, provenance, done)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            _print(done, files.root, written=write)
            if write and any(plan.action == "write" for plan in done):
                out.print(f"Take this back with: raygenre tag --undo {printable(log)}", highlight=False, soft_wrap=True, markup=False)
