"""Tracks a search in MLflow, even while MLflow is unreachable, and ends the search's runs."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from raygenre.search.controls import SearchStopped
from raygenre.search.study.ledger import Ledger
from raygenre.search.study.mlflow_ids import note_run_ids
from raygenre.search.study.names import JOURNAL
from raygenre.search.trials.phases import Display
from raygenre.system.storage import Storage
from raygenre.tracking.retries import TrackingUnreachableError
from raygenre.tracking.server import Server
from raygenre.tracking.server_errors import TrackingAddressError, is_unreachable
from raygenre.tracking.tracker import Status, Tracker


@contextmanager
def tracking_session(ledger: Ledger, server: Server, display: Display) -> Iterator[Tracker]:
    """Track a search; on exit, even after an error, end its runs and display where any unsent updates are queued.

    Raises:
        TrackingUnreachableError: MLflow was unreachable when it was needed; the message explains what has been saved
            and how to resume.
        TrackingAddressError: no usable MLflow server was ever found at the address.
    """
    storage = server.storage
    tracker = Tracker(server, ledger.folder, ledger.id)
    try:
        if tracker.unreachable_reason:
            display.message(
                f"MLflow at {tracker.uri} is unreachable ({tracker.unreachable_reason}). The search continues; "
                f"updates are queued in {tracker.spool} and uploaded when MLflow is back."
            )
        try:
            yield tracker
        except TrackingAddressError:  # no run was started
            raise
        except BaseException as error:
            unreachable = is_unreachable(error)
            with suppress(OSError):  # the disk may be full; the next driver ends the runs that stay open
                # Only the registration requires MLflow to be reachable, so this error means that all training
                # succeeded.
                _end_all(tracker, ledger, "FINISHED" if unreachable else _status(error))
                tracker.flush(0 if unreachable else None)
                note_run_ids(ledger, tracker)
            if unreachable:
                raise TrackingUnreachableError(f"{error}\n{_saved(tracker, ledger, storage)}") from error
            _display_queued(tracker, ledger, storage, display)
            raise
        for run in tracker.open_runs():  # a killed driver left them open, and they are no longer needed
            tracker.end(run, "KILLED")
        tracker.flush()
        note_run_ids(ledger, tracker)
        _display_queued(tracker, ledger, storage, display)
    finally:
        tracker.close()
        with suppress(OSError):  # the disk may be full; the next driver saves the missing files
            ledger.save()


def _status(error: BaseException) -> Status:
    return "KILLED" if isinstance(error, KeyboardInterrupt | SearchStopped) else "FAILED"


def _end_all(tracker: Tracker, ledger: Ledger, status: Status) -> None:
    search = tracker.key("search", ledger.name)
    children = [run for run in tracker.open_runs() if run != search]
    for run in [*children, *([search] if tracker.has_run(search) else [])]:
        tracker.end(run, status)


def _display_queued(tracker: Tracker, ledger: Ledger, storage: Storage, display: Display) -> None:
    if tracker.waiting:
        reason = tracker.unreachable_reason
        display.message(f"MLflow at {tracker.uri} is unreachable ({reason}).\n{_saved(tracker, ledger, storage)}")
    if tracker.refused:
        display.message(
            f"MLflow rejected {tracker.refused} updates; they are saved, with the reasons, in {tracker.refused_path}"
        )


def _saved(tracker: Tracker, ledger: Ledger, storage: Storage) -> str:
    """Return a message that states what has been saved, where it is, and how to upload it."""
    place = f"--storage {shlex.quote(str(storage))} --tracking-uri {shlex.quote(tracker.uri)}"
    place += "" if (ledger.folder / JOURNAL).exists() else " --study-url URL"
    return (
        f"Nothing is lost: the study is in {ledger.location}, with {tracker.waiting} queued updates for MLflow in "
        f"{tracker.spool.name}. When MLflow is back, upload them with\n  raygenre sync {place} --study {ledger.name}\n"
        "or run the search again with --resume, which uploads them and completes the search."
    )
