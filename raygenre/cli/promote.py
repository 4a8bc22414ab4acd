"""`raygenre promote`: let a version that was registered earlier challenge the champion."""

from pathlib import Path
from typing import Annotated

import typer

from raygenre.cli.console import asking, fail, out


def promote(
    version: Annotated[int, typer.Argument(help="Its number, as `raygenre models` has it.", min=1)],
    data: Annotated[
        Path | None, typer.Option(help="Folder of its test tracks; by default the one it was made of.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Whatever the evidence says; that is written down.")] = False,
    storage: Annotated[str | None, typer.Option(help="./results by default.")] = None,
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow server instead of the embedded SQLite.")] = None,
) -> None:
    """Make a version the champion if it is better than the champion on its test tracks, beyond chance.

    Both answer the version's test tracks, but for those that the champion was trained on; at least 50 must be left.
    Exit status 1: it does not become the champion. Endpoints that run take a new champion within 30 s.
    """
    from raygenre.evaluation import head_to_head
    from raygenre.registry import promotion, versions
    from raygenre.registry.decision import decision_text
    from raygenre.registry.promotion_lock import LockLostError
    from raygenre.system.storage import resolve

    try:
        where = resolve(storage, tracking_uri)
        fetched = versions.fetch(where, f"models:/{versions.MODEL}/{version}")
        with asking(where):
            decision = promotion.promote_if_better(
                where,
                version,
                fetched.classifier,
                fetched.facts,
                data=lambda: head_to_head.tested_data(fetched.facts, data, cache=where.cache),
                force=force or None,
            )
    except (versions.RegistryError, LockLostError, ValueError, OSError) as error:
        fail(str(error))
    out.print(decision_text(decision, version), highlight=False)
    raise typer.Exit(0 if decision.promote else 1)
