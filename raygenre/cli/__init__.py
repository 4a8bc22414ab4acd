"""The command-line interface `raygenre`: one module per command, each a thin layer over the library."""

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

app = typer.Typer(
    cls=CommandGroup,
    help="Predict music genres, and manage the models, runs and data of a genre classifier.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for _command in (predict, evaluate, render, download, sync, models, compare, promote, rollback, rerun, dashboard):
    app.command()(_command)
