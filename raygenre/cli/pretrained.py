"""`raygenre pretrained`: install the pretrained network, or show whether it is installed."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from raygenre.cli.checks import check_readable
from raygenre.cli.console import fail, out


def pretrained(
    action: Annotated[
        Literal["install", "show"], typer.Argument(help="Install the network, or show whether it is installed.")
    ],
    wheel: Annotated[
        Path | None,
        typer.Option("--from", help="Install from this wheel of musicnn 0.1.0 instead of downloading it."),
    ] = None,
) -> None:
    """Install a network trained on 200 000 songs that predicts fifty tags for any song, or show where it is.

    Its weights come from the Python package musicnn 0.1.0 (ISC licence), which pip or uv downloads once (29 MB). The
    package itself is not installed. The weights (3 MB) are stored in $RAYGENRE_CACHE, by default ~/.cache/raygenre.
    """
    from raygenre.pretrained.store import OFFER, default_folder, is_installed, read_about

    if action == "show":
        if wheel:
            fail("--from can only be used with `raygenre pretrained install`")
        if not is_installed():
            out.print(f"not installed: {OFFER}", highlight=False, soft_wrap=True, markup=False)
            raise typer.Exit(1)
        about = read_about()
        title = f"{about.model} is installed in {default_folder()}"
    else:
        check_readable(wheel)
        from raygenre.pretrained.install import install  # imported here because showing the status does not need it

        about = install(wheel)
        title = f"{about.model} was installed into {default_folder()}"
    lines = [title, f"source: {about.source}", f"licence: {about.licence}", f"weights: SHA-256 {about.sha256}"]
    out.print("\n".join(lines), highlight=False, soft_wrap=True, markup=False)
    out.print("Next: raygenre predict --tags SONG", highlight=False)
