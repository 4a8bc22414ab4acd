"""`raygenre sync`: upload updates that searches queued while MLflow was unreachable."""

from io import BytesIO
from typing import TYPE_CHECKING, Annotated

import typer

from raygenre.cli.console import out, print_error
from raygenre.cli.options import StorageOption, TrackingUriOption
from raygenre.errors import RaygenreError, file_errors
from raygenre.system.storage import Storage, resolve

if TYPE_CHECKING:
    from raygenre.tracking.server import Server

PATIENCE = 15.0  # maximum time without progress, in s


def sync(
    study: Annotated[
        str, typer.Option(help="Upload only this study's updates (default: all studies).", show_default=False)
    ] = "",
    storage_folder: StorageOption = None,
    tracking_uri: TrackingUriOption = None,
    study_url: Annotated[str | None, typer.Option(help="Optuna database of the study, if it has one.")] = None,
) -> None:
    """Upload the updates that searches queued while MLflow was unreachable.

    A running search uploads its updates itself. Exits with 1 if the updates of a study could not be uploaded.
    """
    from raygenre.search.study.names import StudyBusyError
    from raygenre.tracking.server import Server

    server = Server(resolve(storage_folder, tracking_uri))
    with file_errors("the queued updates cannot be read"):
        queued = _queued(server.storage, study)
    if not queued:
        out.print("MLflow is up to date: no updates are queued", highlight=False)
    failed = False
    for name, updates in queued.items():
        try:
            rejected = _upload(server, name, study_url)
            out.print(f"{name}: {_count(updates)} uploaded{rejected}", highlight=False, soft_wrap=True)
        except StudyBusyError as error:
            out.print(f"{name}: {error}; the running search uploads them itself", highlight=False, soft_wrap=True)
        except RaygenreError as error:
            print_error(f"{name}: {error}")
            failed = True
    raise typer.Exit(1 if failed else 0)


def _queued(storage: Storage, study: str) -> dict[str, int]:
    """Return the number of queued updates of each study, or only of the given study.

    Studies without queued updates are left out. The most recently used study comes last. It is therefore updated last
    and remains the study that `--resume` selects.
    """
    from raygenre.search.study.names import StudyError, last_used
    from raygenre.tracking import spool

    names = [name for name in storage.studies.names() if (storage.studies / name).names()]
    if study and study not in names:
        raise StudyError(f"there is no study {study} in {storage.studies} (studies: {', '.join(names) or 'none'})")
    if not storage.url:
        names.sort(key=lambda name: last_used(storage.studies.folder / name))
    queued: dict[str, int] = {}
    for name in [study] if study else names:
        folder = storage.studies / name
        if spool.SPOOL in folder.files() and (updates := spool.count_waiting(BytesIO(folder.read(spool.SPOOL)))):
            queued[name] = updates
    return queued


def _count(updates: int) -> str:
    return f"{updates} update{'' if updates == 1 else 's'}"


def _upload(server: "Server", name: str, study_url: str | None) -> str:
    """Upload a study's updates, and return a note about any updates that MLflow rejected.

    Raises:
        RaygenreError: the study cannot be opened, or MLflow is unreachable.
    """
    from optuna.exceptions import OptunaError

    from raygenre.search.study.backend import StudyError, storage_error_text
    from raygenre.search.study.ledger import Ledger
    from raygenre.search.study.mlflow_ids import note_run_ids
    from raygenre.tracking.retries import TrackingUnreachableError
    from raygenre.tracking.server_errors import TrackingError, reason
    from raygenre.tracking.tracker import Tracker

    try:
        with file_errors("the study cannot be read or written"):
            ledger = Ledger.open(server.storage.studies, name, url=study_url)
            try:
                tracker = Tracker(server, ledger.folder, ledger.id)
                try:
                    uploaded = tracker.flush(PATIENCE)
                    note_run_ids(ledger, tracker)
                    if not uploaded:
                        problem = f"MLflow at {tracker.uri} is unreachable ({tracker.unreachable_reason})"
                        raise TrackingUnreachableError(f"{problem}; still queued: {_count(tracker.waiting)}")
                    rejected = tracker.refused
                    return f", {rejected} rejected and kept next to {tracker.spool}" if rejected else ""
                finally:
                    tracker.close()
                    ledger.save()
            finally:
                ledger.close()
    except TrackingError as error:
        raise TrackingUnreachableError(f"MLflow at {server.address}: {reason(error)}") from error
    except OptunaError as error:
        raise StudyError(f"the study cannot be read or written: {storage_error_text(error)}") from error
