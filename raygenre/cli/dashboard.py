"""`raygenre dashboard`: view studies in Optuna's dashboard, while they run and afterwards."""

import threading
from glob import escape
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Annotated
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import typer

from raygenre.cli.console import fail, out
from raygenre.cli.options import StorageOption
from raygenre.errors import file_errors
from raygenre.search.study.names import JOURNAL, StudyError
from raygenre.system.redaction import masked

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from raygenre.system.storage import Storage

HOST = "127.0.0.1"  # the dashboard can change a study and requires no password


def dashboard(
    study: Annotated[str, typer.Option(help="Show only this study (default: all).", show_default=False)] = "",
    study_url: Annotated[str | None, typer.Option(help="Optuna database of the studies, if they have one.")] = None,
    storage_folder: StorageOption = None,
    port: Annotated[int, typer.Option(help=f"Port on {HOST}.")] = 8080,
) -> None:
    """Serve Optuna's dashboard for all studies on this machine until Ctrl-C is pressed.

    It shows the history, the parameter importances and the Pareto front, even while a search is running.
    """
    from raygenre.system.ports import check_port
    from raygenre.system.storage import resolve

    storage = resolve(storage_folder)
    if not study_url and not _journals(storage, study):
        named = f" {study} in {storage.studies} that stores its trials in a file" if study else f" in {storage.studies}"
        fail(
            f"there is no study{named}; choose another with --study, pass its database with --study-url, or start one "
            "with `make tune`"
        )
    check_port(HOST, port)
    try:
        import optuna_dashboard
    except ModuleNotFoundError:
        fail("optuna-dashboard is not installed; run `make dashboard` or `pip install 'raygenre[dashboard]'`")

    database, names = _open(storage, study, study_url)
    if not names or (study and study not in names):
        where = masked(study_url) if study_url else storage.studies
        fail(f"there is no study {study or 'yet'} in {where}; start one with `make tune`")
    server = make_server(HOST, port, optuna_dashboard.wsgi(database), server_class=_Server, handler_class=_Quiet)
    title = f"Study {names[0]}" if len(names) == 1 else f"{len(names)} studies"
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


def _journals(storage: "Storage", study: str) -> list[Path]:
    """Return the folders of studies with a trial file, or only that of the given study."""
    with file_errors("the studies cannot be listed"):
        return sorted(path.parent for path in storage.studies.folder.glob(f"{escape(study) or '*'}/{JOURNAL}"))


def _open(storage: "Storage", study: str, study_url: str | None) -> "tuple[BaseStorage, list[str]]":
    """Return Optuna's storage for the dashboard, and the names of the studies in it."""
    from optuna.exceptions import OptunaError

    from raygenre.search.study.backend import storage as optuna_storage
    from raygenre.search.study.backend import storage_error_text
    from raygenre.search.study.dashboard_storage import DashboardStorage

    opened: set[Path] = set()
    lock = threading.Lock()  # the dashboard handles several requests concurrently

    def find_new() -> "list[BaseStorage]":
        with lock:
            folders = [storage.studies.folder] if study_url else _journals(storage, study)
            new = [folder for folder in folders if folder not in opened]
            opened.update(new)
            return [optuna_storage(folder, study_url) for folder in new]

    database = DashboardStorage(find_new)
    failure = f"the study {study} cannot be opened" if study else "the studies cannot be opened"
    try:
        with file_errors(failure):
            return database, [known.study_name for known in database.get_all_studies()]
    except OptunaError as error:
        raise StudyError(f"{failure}: {storage_error_text(error)}") from error


class _Server(ThreadingMixIn, WSGIServer):
    """Handles each connection in its own thread, because browsers open idle connections in advance."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_request(self, *_: object) -> None:
        """Do not log requests; errors are still logged."""
