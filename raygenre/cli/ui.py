"""`raygenre ui`: compare runs in MLflow's UI."""

import signal
import webbrowser
from typing import TYPE_CHECKING, Annotated

import typer

from raygenre.cli.checks import require_runs
from raygenre.cli.console import err, fail, out
from raygenre.cli.options import StorageOption, TrackingUriOption

if TYPE_CHECKING:
    from raygenre.tracking.server import Server


def ui(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.", min=1, max=65535)] = 5000,
    open_page: Annotated[bool, typer.Option("--open", help="Also open the page in the browser.")] = False,
    storage_folder: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
) -> None:
    """Compare runs in MLflow's UI until Ctrl-C is pressed.

    If the runs are on a tracking server, nothing is started and its address is printed.
    """
    from raygenre.system.moved_storage import follow_move
    from raygenre.system.ports import check_port
    from raygenre.system.storage import resolve
    from raygenre.tracking.server import Server

    storage = resolve(storage_folder, tracking_uri)
    server = Server(storage)
    if storage.artifact_uri is None:
        _show("The runs are on the tracking server:", _page(server, server.address), "", open_page=open_page)
        return
    require_runs(storage)
    if move := follow_move(storage):
        err.print(str(move), highlight=False, markup=False, soft_wrap=True)

    from raygenre.tracking.ui import HOST, running

    check_port(HOST, port)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that MLflow's server is stopped too
    err.print("Starting MLflow, which takes a few seconds …", highlight=False)
    try:
        with running(storage, port) as process:
            address = _page(server, f"http://{HOST}:{port}")
            _show("MLflow:", address, " (stop with Ctrl-C)", open_page=open_page)
            process.wait()
    except KeyboardInterrupt:
        out.print("MLflow stopped")
        return
    fail(f"MLflow's server exited with status {process.returncode}")


def _page(server: "Server", address: str) -> str:
    """Return the URL of the latest search's trials, or the UI's URL if MLflow does not respond."""
    from raygenre.tracking.server_errors import TrackingError
    from raygenre.tracking.shared_view import view_link

    try:
        return f"{address.rstrip('/')}{view_link(server)}"
    except TrackingError:
        return f"{address.rstrip('/')}/"


def _show(title: str, address: str, hint: str, *, open_page: bool) -> None:
    out.print(f"{title} {address}{hint}", highlight=False, soft_wrap=True, markup=False)
    if open_page:
        webbrowser.open(address)
