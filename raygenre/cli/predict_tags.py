"""The part of `raygenre predict` that prints the pretrained network's tags, not genres."""

import json
from contextlib import closing
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from raygenre.cli.console import INTERRUPTED, bar, err, out, print_failures
from raygenre.errors import RaygenreError
from raygenre.system.printable import printable

if TYPE_CHECKING:
    from raygenre.pretrained.store import Pretrained
    from raygenre.workflows.predict_tags import TaggedSong
    from raygenre.workflows.sources import Sources

_BAR = 20  # width of the bar for a probability of 1, in characters


def predict_tags(
    files: "Sources",
    *,
    as_json: bool,
    jobs: int,
    longest_seconds: float,
    no_champion: RaygenreError | None = None,
) -> None:
    """Print the tags of songs as a bar chart, or as one JSON object per file.

    Args:
        jobs: number of worker processes; 0 to choose it automatically.
        longest_seconds: maximum duration of a song in s; longer songs fail.
        no_champion: the error that explains why no genre model is available; None if the user requested tags.

    Raises:
        RaygenreError: the pretrained network is not installed, or is damaged.
        typer.Exit: with status 1 if a file failed, and with status 130 after Ctrl-C.
    """
    from raygenre.pretrained.store import OFFER, is_installed, load
    from raygenre.pretrained.tags import NOTE
    from raygenre.workflows.predict_tags import json_record, tag_songs
    from raygenre.workflows.sources import relative_name

    if no_champion and not is_installed():
        raise type(no_champion)(f"{no_champion}. Or: {OFFER}") from no_champion
    pretrained = load()
    if no_champion:
        err.print(f"{NOTE}: {no_champion}", soft_wrap=True)
    failures: list[tuple[str, str]] = []
    finished = 0
    interrupted = False
    try:
        with (
            bar() as progress,
            closing(tag_songs(pretrained, files.songs, jobs=jobs, longest_seconds=longest_seconds)) as stream,
        ):
            for result in progress.track(stream, total=len(files.songs), description="tagging"):
                if result.error:
                    failures.append((printable(result.path), result.error))
                if as_json:
                    out.file.write(json.dumps(json_record(result, pretrained)) + "\n")
                    out.file.flush()
                elif not result.error:
                    # The name is printed separately, because a chart's title would be wrapped at the chart's width.
                    out.print(relative_name(result.path, files.root), soft_wrap=True)
                    out.print(_chart(result, pretrained))
                finished += 1
    except KeyboardInterrupt:
        interrupted = True
    if not as_json and len(failures) < len(files.songs):
        about = pretrained.about
        note = f"{NOTE}: {about.model} learnt its {len(about.tags)} tags from 200 000 songs; {about.licence} licence"
        out.print(note, soft_wrap=True)
    if interrupted:
        # With --json, stdout contains only JSON lines.
        (err if as_json else out).print(f"interrupted after {finished} of {len(files.songs)} songs", soft_wrap=True)
    print_failures(files.failed)
    print_failures(failures, "the JSON lines" if as_json else "")
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    if files.failed or failures:
        raise typer.Exit(1)


def _chart(result: "TaggedSong", pretrained: "Pretrained") -> Table:
    """Return the five most probable tags of a song as a bar chart."""
    from raygenre.pretrained.tags import BEST, ranked
    from raygenre.workflows.timeline import percent

    assert result.song
    table = Table(box=None, padding=(0, 1), show_header=False)
    table.add_column(justify="right")
    for tag, share in ranked(pretrained.about.tags, result.song.song_tags)[:BEST]:
        table.add_row(tag, "█" * max(1, round(_BAR * share)), percent(share))
    return table
