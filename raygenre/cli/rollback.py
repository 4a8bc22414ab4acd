"""`raygenre rollback`: give the champion's place back to the version that had it before."""

from typing import Annotated

import typer

from raygenre.cli.console import asking, fail, out


def rollback(
    storage: Annotated[str | None, typer.Option(help="./results by default.")] = None,
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow server instead of the embedded SQLite.")] = None,
) -> None:
    """Make the champion before this one the champion again; endpoints that run take it within 30 s."""
    from raygenre.registry import champion, versions
    from raygenre.registry.promotion_lock import LockLostError
    from raygenre.system.storage import resolve

    try:
        where = resolve(storage, tracking_uri)
        with asking(where):
            before, now = champion.rollback(where)
    except (versions.RegistryError, LockLostError, ValueError, OSError) as error:
        fail(str(error))
    out.print(f"{versions.MODEL} version {now} is the champion again; it was version {before}", highlight=False)
