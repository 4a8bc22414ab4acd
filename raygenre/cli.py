"""The command `raygenre`: thin over the library."""

import json
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
_out, _err = Console(), Console(stderr=True)


@app.command()
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
        _fail(str(error))
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for column in ("file", "genre", "confidence", "next"):
        table.add_column(column)
    failed = False
    for file in files:
        try:
            prediction = fetched.classifier.predict(read(file))
        except (ValueError, OSError) as error:
            _err.print(f"[red]error:[/red] {escape(f'{file}: {error}')}", highlight=False, soft_wrap=True)
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
        _out.print(table)
    raise typer.Exit(1 if failed else 0)


@app.command()
def render(
    audio: Annotated[Path, typer.Argument(help="A song; of one longer than 31 s the middle 30 s are drawn.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The PNG to write.")],
) -> None:
    """Draw a song's spectrogram exactly as the dataset drew its own."""
    import torch

    from raygenre import spectrogram
    from raygenre.audio import decode, middle_window

    try:
        samples = torch.from_numpy(middle_window(decode(audio)).samples)
        levels = spectrogram.levels(samples, under_frame=True).numpy()
        unfinished = output.with_name(output.name + ".unfinished")
        unfinished.write_bytes(spectrogram.write_png(levels))
        unfinished.replace(output)
    except (ValueError, OSError) as error:
        _fail(f"{audio}: {error}")
    _out.print(f"{output}: {audio} as the dataset would have drawn it", highlight=False, soft_wrap=True)


@app.command()
def download() -> None:
    """Fetch GTZAN from Kaggle, and say where it lies."""
    import kagglehub

    from raygenre.dataset import GTZAN_ON_KAGGLE

    try:
        folder = kagglehub.dataset_download(GTZAN_ON_KAGGLE)
    except Exception as error:  # noqa: BLE001 (whatever the network or Kaggle come up with)
        _fail(
            f"{GTZAN_ON_KAGGLE} could not be fetched from Kaggle: {error}\n"
            "Fetch it in a browser and unpack it; --data takes the folder."
        )
    _out.print(f'GTZAN lies in {folder}; next:\n  make tune ARGS="--data {folder}"', soft_wrap=True)


def _fail(message: str) -> NoReturn:
    _err.print(f"[red]error:[/red] {escape(message)}", highlight=False, soft_wrap=True)
    raise typer.Exit(2)
