"""`raygenre sync`: deliver what searches could not tell MLflow while it was away."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from raygenre.cli.console import err, fail, out
from raygenre.storage import Storage, resolve

PATIENCE = 15.0  # s without any progress


def sync(
    study: Annotated[str, typer.Option(help="Of this study alone.")] = "",
    storage: Annotated[Path | None, typer.Option(help="./results by default.")] = None,
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow server instead of the embedded SQLite.")] = None,
    study_url: Annotated[str | None, typer.Option(help="Database that the search gave Optuna.")] = None,
) -> None:
    """Deliver to MLflow what searches kept while it was away."""
    from raygenre import spool
    from raygenre.search.folder import StudyBusyError
    from raygenre.storage import masked
    from raygenre.tracking import SPOOL
    from raygenre.tracking_server import ServerAwayError, TrackingError

    try:
        where = resolve(storage, tracking_uri)
    except ValueError as error:
        fail(str(error))
    if study and not (where.studies / study).is_dir():
        known = sorted(path.name for path in where.studies.glob("*") if path.is_dir())
        fail(f"there is no study {study} in {where.studies}; known: {', '.join(known) or 'none'}")
    found = [path for path in where.studies.glob(f"{study or '*'}/{SPOOL}") if spool.waiting(path)]
    if not found:
        out.print("Nothing waits: MLflow has everything", highlight=False)
    # The study that was worked on last is so afterwards too, for `--resume`.
    failed = False
    for path in sorted(found, key=lambda path: path.parent.joinpath("lock").stat().st_mtime):
        try:
            entries = spool.waiting(path)
            kept = _deliver(where, path.parent.name, study_url)
            out.print(f"{path.parent.name}: {entries} entries delivered{kept}", highlight=False, soft_wrap=True)
        except StudyBusyError as error:
            out.print(f"{path.parent.name}: {error}; it delivers them itself", highlight=False, soft_wrap=True)
        except (ValueError, TrackingError, ServerAwayError, OSError) as error:
            err.print(
                f"[red]error:[/red] {escape(masked(f'{path.parent.name}: {error}'))}", highlight=False, soft_wrap=True
            )
            failed = True
    raise typer.Exit(1 if failed else 0)


def _deliver(where: Storage, name: str, study_url: str | None) -> str:
    """Deliver one study's entries, and say what MLflow would not have."""
    from raygenre.search.ledger import Ledger
    from raygenre.search.run_ids import note_run_ids
    from raygenre.tracking import Tracker
    from raygenre.tracking_server import ServerAwayError

    ledger = Ledger.open(where.studies, name, url=study_url)
    try:
        tracker = Tracker(where, ledger.folder, ledger.id)
        try:
            delivered = tracker.drain(PATIENCE)
            note_run_ids(ledger, tracker)
            if not delivered:
                raise ServerAwayError(
                    f"MLflow at {tracker.uri} is away ({tracker.trouble}); {tracker.waiting} entries wait on"
                )
            return f", {tracker.refused} refused and kept next to {tracker.spool}" if tracker.refused else ""
        finally:
            tracker.close()
    finally:
        ledger.close()
