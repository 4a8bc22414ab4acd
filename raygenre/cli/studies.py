"""`raygenre studies`: submit and control searches that run in the background."""

import typer

from raygenre.cli.studies_change import remove, resume, set_wishes, stop
from raygenre.cli.studies_show import list_studies, logs, show
from raygenre.cli.studies_submit import submit

studies = typer.Typer(
    help="Submit and control searches that run in the background and share a cluster.", no_args_is_help=True
)
studies.command()(submit)
studies.command(name="list")(list_studies)
for _command in (show, logs, stop, resume):
    studies.command()(_command)
studies.command(name="set")(set_wishes)
studies.command()(remove)
