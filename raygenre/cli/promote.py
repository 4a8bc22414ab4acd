"""`raygenre promote`: make a registered version the champion if it is better."""

from pathlib import Path
from typing import Annotated

import typer

from raygenre.cli.checks import check_data
from raygenre.cli.console import fail, mlflow_errors, out
from raygenre.cli.options import StorageOption, TrackingUriOption
from raygenre.errors import file_errors


def promote(
    version: Annotated[int, typer.Argument(help="Version number, as listed by `raygenre models`.", min=1)],
    data: Annotated[
        Path | None, typer.Option(help="Folder of its test tracks (default: the data it was trained on).")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Promote it regardless of the rule; your decision is recorded.")
    ] = False,
    reason: Annotated[
        str, typer.Option(metavar="WHY", help="With --force: your reason, recorded with the decision.")
    ] = "",
    storage_folder: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
) -> None:
    """Make a version the champion if it is significantly better than the current champion.

    Both classify the version's test tracks, except those that the champion was trained on. At least 50 tracks must
    remain. With fewer, and if the version is no better than chance, only you can decide: use --force. The version's
    tags then record who promoted it, when and why.

    Exits with 1 if the version is not promoted. Running endpoints load a new champion within 30 s.
    """
    from raygenre.registry.versions import MODEL, fetch
    from raygenre.system.storage import resolve
    from raygenre.tracking.server import Server

    if reason and not force:
        fail("--reason explains why the rule is overridden; use it together with --force")
    check_data(data)
    storage = resolve(storage_folder, tracking_uri)
    server = Server(storage)
    with mlflow_errors(storage), file_errors(f"version {version} could not be promoted"):
        fetched = fetch(server, f"models:/{MODEL}/{version}")

        from raygenre.evaluation import head_to_head  # imported here, because these modules load MLflow
        from raygenre.registry.promotion import promote_if_better

        decision = promote_if_better(
            server,
            version,
            fetched.classifier,
            fetched.facts,
            data=lambda: head_to_head.tested_data(
                fetched.facts, data, genres=fetched.classifier.genres, cache=storage.cache
            ),
            force=force or None,
            user_reason=reason,
        )
    from raygenre.cli.tables import decision_table

    out.print(decision_table(decision, version), highlight=False)
    raise typer.Exit(0 if decision.promote else 1)
