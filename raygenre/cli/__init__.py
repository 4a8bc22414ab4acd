"""The command `raygenre`: thin over the library, a file a command."""

import typer

from raygenre.cli.dashboard import dashboard
from raygenre.cli.download import download
from raygenre.cli.predict import predict
from raygenre.cli.render import render
from raygenre.cli.rollback import rollback
from raygenre.cli.sync import sync

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
for _command in (predict, render, download, sync, rollback, dashboard):
    app.command()(_command)
