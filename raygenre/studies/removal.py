"""Deletes studies with their trials, training states, logs and, on request, MLflow runs."""

import os
import shutil
from io import BytesIO

from raygenre.search.study.backend import acquire_lock
from raygenre.studies.local_driver import log_file, submitted_files
from raygenre.studies.progress import LedgerReader
from raygenre.studies.store import StudiesError
from raygenre.system.location import Location
from raygenre.tracking import spool
from raygenre.tracking.server import Server
from raygenre.tracking.study_runs import delete_runs


def delete_study(server: Server, name: str, study_url: str | None, *, with_runs: bool) -> None:
    """Delete a study that no driver is running.

    Args:
        study_url: URL of the database that contains the study's trials, if they are not in the storage.
        with_runs: whether to also delete the study's MLflow runs.

    Raises:
        StudyBusyError: a driver has the study open.
        StudiesError: updates are still queued for MLflow and would be lost.
        OSError: the storage cannot be written to.
    """
    storage = server.storage
    location = storage.studies / name
    if name in storage.studies.names():
        lock = acquire_lock(location.folder)
        try:
            if not with_runs:
                _check_uploaded(location)
            reader = LedgerReader(location, study_url)
            if with_runs and (study_id := reader.study_id):
                delete_runs(server, study_id)
            reader.delete()
            location.remove()
        finally:
            os.close(lock)
    log_file(storage, name).unlink(missing_ok=True)
    shutil.rmtree(submitted_files(storage, name), ignore_errors=True)


def _check_uploaded(location: Location) -> None:
    """Check that MLflow has received all updates that the study queued."""
    if spool.SPOOL in location.files() and (waiting := spool.count_waiting(BytesIO(location.read(spool.SPOOL)))):
        raise StudiesError(
            f"{waiting} updates of the study {location.name} are still queued for MLflow; upload them with "
            f"`raygenre sync --study {location.name}`, or use --runs to also delete its MLflow runs"
        )
