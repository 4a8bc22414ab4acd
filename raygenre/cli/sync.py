"""`raygenre sync`: deliver what searches could not tell MLflow while it was away."""

from io import BytesIO
from typing import Annotated

import typer
from rich.markup import escape

from raygenre.cli.console import err, fail, out
from raygenre.system.storage import Storage, resolve

PATIENCE = 15.0  # s without any progress


def sync(
    study: Annotated[str, typer.Option(help="Of this study alone.")] = "",
    storage: Annotated[str | None, typer.Option(help="./results by default.")] = None,
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow server instead of the embedded SQLite.")] = None,
    study_url: Annotated[str | None, typer.Option(help="Database that the search gave Optuna.")] = None,
) -> None:
    """Deliver to MLflow what searches kept while it was away."""
    from raygenre.search.study.backend import StudyBusyError
    from raygenre.system.redaction import masked
    from raygenre.tracking.server import TrackingError, TrackingUnreachableError

    try:
        where = resolve(storage, tracking_uri)
    except ValueError as error:
        fail(str(error))
    # The study that was worked on last is so afterwards too, for `--resume`.
    failed = False
    try:
        waiting = _waiting(where, study)
    except (ValueError, OSError) as error:
        fail(str(error))
    if not waiting:
        out.print("Nothing waits: MLflow has everything", highlight=False)
    for name, entries in waiting.items():
        try:
            kept = _deliver(where, name, study_url)
            out.print(f"{name}: {entries} entries delivered{kept}", highlight=False, soft_wrap=True)
        except StudyBusyError as error:
            out.print(f"{name}: {error}; it delivers them itself", highlight=False, soft_wrap=True)
        except (ValueError, TrackingError, TrackingUnreachableError, OSError) as error:
            err.print(f"[red]error:[/red] {escape(masked(f'{name}: {error}'))}", highlight=False, soft_wrap=True)
            failed = True
    raise typer.Exit(1 if failed else 0)


def _waiting(where: Storage, study: str) -> dict[str, int]:
    """How many entries wait in each study, or in one; that which was worked on last comes last."""
    from raygenre.search.study.backend import StudyError, last_used
    from raygenre.tracking import spool
    from raygenre.tracking.tracker import SPOOL

    found: dict[str, int] = {}
    names = [name for name in where.studies.names() if (where.studies / name).names()]
    if study and study not in names:
        raise StudyError(f"there is no study {study} in {where.studies}; known: {', '.join(names) or 'none'}")
    if not where.url:
        names.sort(key=lambda name: last_used(where.studies.folder / name))
    for name in [study] if study else names:
        place = where.studies / name
        if SPOOL in place.files():
            entries = spool.count_waiting(BytesIO(place.read(SPOOL)))
            found |= {name: entries} if entries else {}
    return found


def _deliver(where: Storage, name: str, study_url: str | None) -> str:
    """Deliver one study's entries, and say what MLflow would not have."""
    from raygenre.search.study.ledger import Ledger
    from raygenre.search.study.mlflow_ids import note_run_ids
    from raygenre.tracking.server import TrackingUnreachableError
    from raygenre.tracking.tracker import Tracker

    ledger = Ledger.open(where.studies, name, url=study_url)
    try:
        tracker = Tracker(where, ledger.folder, ledger.id)
        try:
            delivered = tracker.flush(PATIENCE)
            note_run_ids(ledger, tracker)
            if not delivered:
                raise TrackingUnreachableError(
                    f"MLflow at {tracker.uri} is away ({tracker.unreachable_reason}); {tracker.waiting} entries wait on"
                )
            return f", {tracker.refused} refused and kept next to {tracker.spool}" if tracker.refused else ""
        finally:
            tracker.close()
            ledger.save()
    finally:
        ledger.close()
