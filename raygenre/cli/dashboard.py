"""`raygenre dashboard`: view a study in Optuna's dashboard, while it runs and afterwards."""

import threading
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Annotated
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import typer

from raygenre.cli.console import fail, out
from raygenre.cli.options import StorageOption
from raygenre.errors import file_errors

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from raygenre.system.storage import Storage

HOST = "127.0.0.1"  # the dashboard can change a study and requires no password


def dashboard(
    study: Annotated[
        str, typer.Option(help="Name of the study (default: the most recent one).", show_default=False)
    ] = "",
    study_url: Annotated[str | None, typer.Option(help="Optuna database of the study, if it has one.")] = None,
    storage_folder: StorageOption = None,
    port: Annotated[int, typer.Option(help=f"Port on {HOST}.")] = 8080,
) -> None:
    """Serve Optuna's dashboard for a study on this machine until Ctrl-C is pressed.

    It shows the history, the parameter importances and the Pareto front, even while the search is running.
    """
    try:
        import optuna_dashboard
    except ModuleNotFoundError:
        fail("optuna-dashboard is not installed; run `make dashboard` or `pip install 'raygenre[dashboard]'`")

    from raygenre.search.study.backend import StudyError, latest_study
    from raygenre.system.redaction import masked
    from raygenre.system.storage import resolve

    storage = resolve(storage_folder)
    try:
        with file_errors("the studies cannot be listed"):
            name = study or ("" if study_url else latest_study(storage.studies))
    except StudyError as error:
        fail(f"{error}; start one with `make tune`")
    database, names = _open(storage, name, study_url)
    if not names or (name and name not in names):
        where = masked(study_url) if study_url else storage.studies
        fail(f"there is no study {name or 'yet'} in {where}; start one with `make tune`")
    try:
        server = make_server(HOST, port, optuna_dashboard.wsgi(database), server_class=_Server, handler_class=_Quiet)
    except OSError as error:
        fail(f"port {port} cannot be used ({error.strerror}); choose another with --port")
    title = f"Study {name}" if name else f"{len(names)} studies"
    out.print(f"{title}: http://{HOST}:{port}/dashboard (stop with Ctrl-C)", highlight=False, soft_wrap=True)
    # The server runs in a thread, because wsgiref would treat Ctrl-C during a request as an error in that request.
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    try:
        thread.start()
        thread.join()
    except KeyboardInterrupt:
        server.shutdown()
        server.server_close()
        out.print("Dashboard stopped")


def _open(storage: "Storage", name: str, study_url: str | None) -> "tuple[BaseStorage, list[str]]":
    """Return Optuna's storage, and the names of the studies in it."""
    from optuna.exceptions import OptunaError

    from raygenre.errors import file_errors
    from raygenre.search.study.backend import JOURNAL, StudyError, storage_error_text
    from raygenre.search.study.backend import storage as optuna_storage

    folder = storage.studies.folder / name
    if not study_url and not (folder / JOURNAL).is_file():
        raise StudyError(
            f"there is no study {name} in {storage.studies} that keeps its trials in a file; choose another with "
            "--study, give its database with --study-url, or start one with `make tune`"
        )
    failure = f"the study {name} cannot be opened"
    try:
        with file_errors(failure):
            database = optuna_storage(folder, study_url)
            return database, [known.study_name for known in database.get_all_studies()]
    except OptunaError as error:
        raise StudyError(f"{failure}: {storage_error_text(error)}") from error


class _Server(ThreadingMixIn, WSGIServer):
    """Handles each connection in a thread, because browsers open idle connections in advance."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_request(self, *_: object) -> None:
        """Do not log requests; errors are still logged."""
