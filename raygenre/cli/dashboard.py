"""`raygenre dashboard`: Optuna's own pages about a study, while it runs and after."""

import socket
from pathlib import Path
from typing import Annotated

import typer

from raygenre.cli.console import fail, out

HOST = "127.0.0.1"  # the pages can change a study and ask for no password


def dashboard(
    study: Annotated[str, typer.Option(help="Name of the study; by default the one worked on last.")] = "",
    study_url: Annotated[str | None, typer.Option(help="Database of the study, if it has one.")] = None,
    storage: Annotated[Path | None, typer.Option(help="Folder with everything; ./results by default.")] = None,
    port: Annotated[int, typer.Option(help="Where the pages are.")] = 8080,
) -> None:
    """Show a study's history, importances and front in the browser, on this machine alone, until Ctrl-C."""
    try:
        import optuna_dashboard
    except ModuleNotFoundError:
        fail("optuna-dashboard is not installed; `make dashboard` installs it, or `pip install 'raygenre[dashboard]'`")

    from raygenre.search.folder import JOURNAL, StudyError, latest_study
    from raygenre.search.folder import storage as study_storage
    from raygenre.storage import resolve

    try:
        studies = resolve(storage).studies
        name = study or ("" if study_url else latest_study(studies))
        if not study_url and not (studies / name / JOURNAL).is_file():
            raise StudyError(
                f"there is no study {name} with a file of its own in {studies}; name another with --study, or its "
                "database with --study-url"
            )
        kept = study_storage(studies / name, study_url)
        found = [known.study_name for known in kept.get_all_studies()]
    except (ValueError, OSError) as error:
        fail(f"{error}; `make tune` makes one" if isinstance(error, StudyError) else str(error))
    if not found or (name and name not in found):
        fail(f"there is no study {name or 'yet'} in {study_url or studies}; `make tune` makes one")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            fail(f"port {port} cannot be used ({error.strerror}); name another with --port")
    title = f"The study {name}" if name else f"{len(found)} studies"
    out.print(f"{title}: http://{HOST}:{port}/dashboard (Ctrl-C ends it)", highlight=False, soft_wrap=True)
    try:
        optuna_dashboard.run_server(kept, host=HOST, port=port)
    except KeyboardInterrupt:
        out.print("The dashboard is closed; the study is untouched")
