"""`raygenre predict`: name the genre of songs."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from raygenre.cli.console import err, fail, out


def predict(
    files: Annotated[list[Path], typer.Argument(help="Songs, or dataset-style PNGs.")],
    model: Annotated[str, typer.Option(help="models:/NAME@ALIAS, models:/NAME/VERSION or a classifier's folder.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON a file instead of a table.")] = False,
    storage: Annotated[Path | None, typer.Option(help="./results by default.")] = None,
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow server instead of the embedded SQLite.")] = None,
) -> None:
    """Name the genre of songs."""
    from raygenre import registry
    from raygenre.classifier import read
    from raygenre.storage import resolve

    try:
        fetched = registry.fetch(resolve(storage, tracking_uri), model or registry.CHAMPION_URI)
    except (registry.RegistryError, ValueError) as error:
        fail(str(error))
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for column in ("file", "genre", "confidence", "next"):
        table.add_column(column)
    failed = False
    for file in files:
        try:
            prediction = fetched.classifier.predict(read(file))
        except (ValueError, OSError) as error:
            err.print(f"[red]error:[/red] {escape(f'{file}: {error}')}", highlight=False, soft_wrap=True)
            failed = True
            continue
        if as_json:
            answer = {
                "file": str(file),
                "genre": prediction.genre,
                "confidence": prediction.confidence,
                "probabilities": dict(prediction.probabilities),
                "model": fetched.name,
            }
            typer.echo(json.dumps(answer))
        ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
        rest = ", ".join(f"{genre} {share:.0%}" for genre, share in ranked[1:3])
        table.add_row(escape(file.name), prediction.genre, f"{prediction.confidence:.0%}", rest)
    if not as_json and table.row_count:
        out.print(table)
    raise typer.Exit(1 if failed else 0)
