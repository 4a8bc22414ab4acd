"""A search with its runs in MLflow, whether MLflow is there or not: from the first word to what is left at the end."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console

from raygenre.search.study.ledger import Ledger
from raygenre.search.study.mlflow_ids import note_run_ids
from raygenre.system.storage import Storage
from raygenre.tracking.server import TrackingAddressError, TrackingUnreachableError, is_unreachable
from raygenre.tracking.tracker import Status, Tracker


@contextmanager
def tracking_session(ledger: Ledger, storage: Storage, console: Console) -> Iterator[Tracker]:
    """Track a search: no run is left open, whatever ends it, and what MLflow has not got is kept and named.

    Raises:
        TrackingUnreachableError: MLflow was away when it was needed; the message says what is kept, and how to go on.
        TrackingAddressError: there was never an MLflow that could be used at its address.
    """
    tracker = Tracker(storage, ledger.folder, ledger.id)
    try:
        if tracker.unreachable_reason:
            _print(
                console,
                f"MLflow at {tracker.uri} is unreachable ({tracker.unreachable_reason}). The search continues; "
                f"updates are queued in {tracker.spool} and uploaded when it is back.",
            )
        try:
            yield tracker
        except TrackingAddressError:  # nothing was begun
            raise
        except BaseException as error:
            away = is_unreachable(error)
            with suppress(OSError):  # a full disk may be the error; the next driver closes what stays open
                # When MLflow is missed, the trainings have ended well: the registry alone is still to come.
                _end_all(tracker, ledger, "FINISHED" if away else _status(error))
                tracker.flush(0 if away else None)
                note_run_ids(ledger, tracker)
            if away:
                raise TrackingUnreachableError(f"{error}\n{_kept(tracker, ledger, storage)}") from error
            _say_what_is_left(tracker, ledger, storage, console)
            raise
        for run in tracker.open_runs():  # of a driver that was killed in a training that is no longer needed
            tracker.end(run, "KILLED")
        tracker.flush()
        note_run_ids(ledger, tracker)
        _say_what_is_left(tracker, ledger, storage, console)
    finally:
        tracker.close()
        with suppress(OSError):  # which may be the error; what is missing there is found again in what is
            ledger.save()


def _status(error: BaseException) -> Status:
    return "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"


def _end_all(tracker: Tracker, ledger: Ledger, status: Status) -> None:
    search = tracker.key("search", ledger.name)
    below = [run for run in tracker.open_runs() if run != search]
    for run in [*below, *([search] if tracker.has_run(search) else [])]:
        tracker.end(run, status)


def _say_what_is_left(tracker: Tracker, ledger: Ledger, storage: Storage, console: Console) -> None:
    if tracker.waiting:
        reason = tracker.unreachable_reason
        _print(console, f"MLflow at {tracker.uri} is unreachable ({reason}).\n{_kept(tracker, ledger, storage)}")
    if tracker.refused:
        _print(console, f"MLflow rejected {tracker.refused} updates; they are saved, with the reasons, in "
                        f"{tracker.refused_path}")  # fmt: skip


def _kept(tracker: Tracker, ledger: Ledger, storage: Storage) -> str:
    """What is kept where, and how to go on."""
    place = f"--storage {shlex.quote(str(storage))} --tracking-uri {shlex.quote(tracker.uri)}"
    place += " --study-url URL" if ledger.in_database else ""
    return (
        f"Nothing is lost: the study is in {ledger.location}, with {tracker.waiting} queued updates for MLflow in "
        f"{tracker.spool.name}. When MLflow is back, upload them with\n  raygenre sync {place} --study {ledger.name}\n"
        "or run the search again with --resume, which uploads them and does what is left to do."
    )


def _print(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True, markup=False)
