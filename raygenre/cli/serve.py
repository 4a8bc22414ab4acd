"""`raygenre serve`: serve the champion over HTTP on this machine."""

from typing import Annotated

import typer

from raygenre.cli.console import err, out
from raygenre.cli.options import StorageOption, TrackingUriOption


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; addresses that other machines can reach require API keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8000,
    storage_folder: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
) -> None:
    """Serve the champion (or, without one, pretrained tags) over HTTP on this machine until Ctrl-C is pressed.

    Environment variables set limits, API keys and the model; serve/README.md lists them.
    """
    from serve.preflight import check, read_settings

    settings = read_settings(storage=storage_folder, tracking_uri=tracking_uri)
    has_model = check(settings, host, port)
    err.print("Starting the endpoint …", highlight=False)
    from serve.run import run  # imported here because Ray and torch are slow to import

    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}"
    tags = "" if has_model else "; without a champion, it predicts pretrained tags, not your genres"
    text = f"The endpoint is ready: {address} (stop with Ctrl-C){tags}"
    run(settings, host, port, on_ready=lambda: out.print(text, highlight=False, soft_wrap=True, markup=False))
    out.print("Endpoint stopped")
