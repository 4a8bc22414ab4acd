"""The `raygenre` command: one module per command, each a thin layer over the library."""

import typer

from raygenre.cli.compare import compare
from raygenre.cli.console import CommandGroup
from raygenre.cli.dashboard import dashboard
from raygenre.cli.download import download
from raygenre.cli.evaluate import evaluate
from raygenre.cli.models import models
from raygenre.cli.predict import predict
from raygenre.cli.promote import promote
from raygenre.cli.render import render
from raygenre.cli.rerun import rerun
from raygenre.cli.rollback import rollback
from raygenre.cli.sync import sync
from raygenre.cli.tune import tune

app = typer.Typer(
    cls=CommandGroup,
    help="Predict the genre of songs, and search for, evaluate, compare and promote models.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
_PANELS = {
    "Songs and data": (predict, render, download),
    "Models": (models, evaluate, compare, promote, rollback),
    "Searches": (tune, dashboard, rerun, sync),
}
for _panel, _commands in _PANELS.items():
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)
