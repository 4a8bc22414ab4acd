"""Measure how encoding, sample rate, loudness and offset affect a song's predicted genre.

Run, from the project's folder (4 s per clip on one core):
    python experiments/robustness.py --data ~/Music                      # a folder of audio, in any layout
    python experiments/robustness.py --data PATH --model models:/raygenre/2

Each clip is classified before and after each change. The table shows by how many of the 256 levels the spectrograms
differ, and for how many clips the predicted genre stays the same. If a song is longer than 31 s, only its middle 30 s
are used.
"""

from pathlib import Path
from typing import Annotated

import typer

from raygenre.cli.console import bar, err, fail, out
from raygenre.cli.options import ModelOption, StorageOption, TrackingUriOption
from raygenre.cli.tables import robustness_table
from raygenre.data.folder_scan import scan
from raygenre.errors import RaygenreError
from raygenre.registry import versions
from raygenre.system.storage import resolve
from raygenre.tracking.server import Server
from raygenre.workflows import robustness


def main(
    data: Annotated[Path, typer.Option(help="Folder of audio.")],
    model: ModelOption = "",
    storage: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
) -> None:
    """Measure how robust a classifier is to encodings, sample rates, loudness and shifts."""
    paths = scan(data).audio
    if not paths:
        fail(f"{data} contains no audio file; pass a folder of songs with --data")
    try:
        fetched = versions.fetch(Server(resolve(storage, tracking_uri)), model or versions.CHAMPION_URI)
    except (RaygenreError, ValueError, OSError) as error:
        fail(str(error))
    readings: list[robustness.Reading] = []
    with bar() as progress:
        for path in progress.track(paths, description="measuring"):
            try:
                readings += robustness.measure(fetched.classifier, path)
            except (ValueError, OSError) as error:
                err.print(f"skipped: {path}: {error}", highlight=False, markup=False, soft_wrap=True)
    if not readings:
        raise typer.Exit(1)
    clips = len({reading.path for reading in readings})
    out.print(robustness_table(robustness.summaries(readings), title=f"{clips} clips, {fetched.name}"))
    for reading in readings:
        if reading.before != reading.after:
            name = reading.path.relative_to(data)
            change = f"{name}: {reading.before} becomes {reading.after} ({reading.change})"
            out.print(change, highlight=False, markup=False, soft_wrap=True)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
