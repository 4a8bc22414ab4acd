"""`raygenre dashboard`: Optuna's own pages about a study, while it runs and after."""

import threading
from socketserver import ThreadingMixIn
from typing import Annotated
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import typer

from raygenre.cli.console import fail, out

HOST = "127.0.0.1"  # the pages can change a study and ask for no password


def dashboard(
    study: Annotated[str, typer.Option(help="Name of the study; by default the one worked on last.")] = "",
    study_url: Annotated[str | None, typer.Option(help="Database of the study, if it has one.")] = None,
    storage: Annotated[str | None, typer.Option(help="Folder with everything; ./results by default.")] = None,
    port: Annotated[int, typer.Option(help="Where the pages are.")] = 8080,
) -> None:
    """Show a study's history, importances and front in the browser, on this machine alone, until Ctrl-C."""
    try:
        import optuna_dashboard
    except ModuleNotFoundError:
        fail("optuna-dashboard is not installed; `make dashboard` installs it, or `pip install 'raygenre[dashboard]'`")

    from raygenre.search.study.backend import JOURNAL, StudyError, latest_study
    from raygenre.search.study.backend import storage as study_storage
    from raygenre.system.redaction import masked
    from raygenre.system.storage import resolve

    try:
        studies = resolve(storage).studies
        name = study or ("" if study_url else latest_study(studies))
        if not study_url and not (studies.folder / name / JOURNAL).is_file():
            raise StudyError(
                f"there is no study {name} with a file of its own in {studies}; name another with --study, or its "
                "database with --study-url"
            )
        kept = study_storage(studies.folder / name, study_url)
        found = [known.study_name for known in kept.get_all_studies()]
    except (ValueError, OSError) as error:
        fail(f"{error}; `make tune` makes one" if isinstance(error, StudyError) else str(error))
    if not found or (name and name not in found):
        fail(
            f"there is no study {name or 'yet'} in {masked(study_url) if study_url else studies}; `make tune` makes one"
        )
    try:
        server = make_server(HOST, port, optuna_dashboard.wsgi(kept), server_class=_Server, handler_class=_Quiet)
    except OSError as error:
        fail(f"port {port} cannot be used ({error.strerror}); name another with --port")
    title = f"The study {name}" if name else f"{len(found)} studies"
    out.print(f"{title}: http://{HOST}:{port}/dashboard (Ctrl-C ends it)", highlight=False, soft_wrap=True)
    # In a thread of its own: wsgiref takes a Ctrl-C that comes while it answers for an error of that answer.
    answering = threading.Thread(target=server.serve_forever, daemon=True)
    try:
        answering.start()
        answering.join()
    except KeyboardInterrupt:
        server.shutdown()
        server.server_close()
        out.print("The dashboard is closed; the study is untouched")


class _Server(ThreadingMixIn, WSGIServer):
    """Browsers open connections in store: one that says nothing must not keep the others waiting."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_request(self, *ignored: object) -> None:
        """Say nothing of each request; errors are still told."""
