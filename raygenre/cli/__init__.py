"""The `raygenre` command: one module per command, each a thin layer over the library.

Importing this package does not import any heavy library, so that help, shell completion and errors about arguments
appear almost immediately. Each command imports what it needs after checking its arguments (`raygenre.cli.checks`).
"""

from importlib.metadata import version as installed_version
from typing import Annotated

import typer

from raygenre.cli.compare import compare
from raygenre.cli.console import CommandGroup, out
from raygenre.cli.dashboard import dashboard
from raygenre.cli.doctor import doctor
from raygenre.cli.download import download
from raygenre.cli.evaluate import evaluate
from raygenre.cli.models import models
from raygenre.cli.predict import predict
from raygenre.cli.pretrained import pretrained
from raygenre.cli.promote import promote
from raygenre.cli.render import render
from raygenre.cli.rerun import rerun
from raygenre.cli.rollback import rollback
from raygenre.cli.serve import serve
from raygenre.cli.studies import studies
from raygenre.cli.sync import sync
from raygenre.cli.tag import tag
from raygenre.cli.tune import tune
from raygenre.cli.ui import ui

app = typer.Typer(cls=CommandGroup, no_args_is_help=True, pretty_exceptions_enable=False)
_PANELS = {
    "Songs and data": (predict, tag, pretrained, render, download),
    "Models": (models, evaluate, compare, promote, rollback, serve),
    "Searches": (tune, ui, dashboard, rerun, sync),
    "Installation": (doctor,),
}
for _panel, _commands in _PANELS.items():
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)
app.add_typer(studies, name="studies", rich_help_panel="Searches")


def _print_version(requested: bool) -> None:
    if requested:
        out.print(f"raygenre {installed_version('raygenre')}", highlight=False)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Predict the genre of songs, and search for, evaluate, compare, promote and serve models."""
