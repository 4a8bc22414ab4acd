"""Put songs through MP3, other rates, a change of loudness and a shift, and see what stays of their genres.

Run, from the project's folder (4 s a clip on one core):
    python experiments/robustness.py --data ~/Music                      # a folder of audio, of any layout
    python experiments/robustness.py --data PATH --model models:/raygenre/2

Each clip is drawn and classified as it is and after each change; the table tells how far levels move, of 256, and how
many clips keep their predicted genre. A song longer than 31 s counts by its middle 30 s.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from raygenre.audio.decoding import SUFFIXES
from raygenre.registry import versions
from raygenre.system.storage import resolve
from raygenre.workflows import robustness


def main(
    data: Annotated[Path, typer.Option(help="Folder of audio.")],
    model: Annotated[str, typer.Option(help="models:/NAME@ALIAS, models:/NAME/VERSION or a classifier's folder.")] = "",
    storage: Annotated[str | None, typer.Option(help="./results by default.")] = None,
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow server instead of the embedded SQLite.")] = None,
) -> None:
    """Measure how robust a classifier is against the ways in which a song can be stored."""
    console = Console()
    paths = sorted(path for path in data.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    try:
        if not paths:
            raise ValueError(f"{data} holds no audio file; --data takes a folder of songs")
        fetched = versions.fetch(resolve(storage, tracking_uri), model or versions.CHAMPION_URI)
    except (versions.RegistryError, ValueError, OSError) as error:
        console.print(f"[red]error:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from error
    readings: list[robustness.Reading] = []
    with Progress(console=console, transient=True) as bar:
        for path in bar.track(paths, description="Measuring"):
            try:
                readings += robustness.measure(fetched.classifier, path)
            except (ValueError, OSError) as error:
                bar.console.print(f"left out: {escape(f'{path}: {error}')}", highlight=False, soft_wrap=True)
    if not readings:
        raise typer.Exit(1)
    clips = len({reading.path for reading in readings})
    table = Table("change", title=f"{clips} clips, {fetched.name}")
    for column in ("mean difference", "95th percentile", "same genre"):
        table.add_column(column, justify="right")
    for row in robustness.summaries(readings):
        table.add_row(
            row.change, f"{row.mean:.2f}", f"{row.most}", f"{row.same} of {row.clips} ({row.same / row.clips:.0%})"
        )
    console.print(table)
    for reading in readings:
        if reading.before != reading.after:
            where = reading.path.relative_to(data)
            changed = f"{where}: {reading.before} becomes {reading.after} ({reading.change})"
            console.print(escape(changed), highlight=False, soft_wrap=True)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
