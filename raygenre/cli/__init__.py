"""The command `raygenre`: thin over the library, a file a command."""

import typer

from raygenre.cli.compare import compare
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

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
for _command in (tune, predict, evaluate, render, download, sync, models, compare, promote, rollback, rerun, dashboard):
    app.command()(_command)
