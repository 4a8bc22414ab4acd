"""The driver of a submitted study: `python -m raygenre.cli.studies_driver NAME START`.

`raygenre studies submit` and `raygenre studies resume` start the driver on this machine or as a job on a Ray cluster.
It locates the database through RAYGENRE_STUDY_URL or RAYGENRE_STORAGE.
"""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, NoReturn

from raygenre.cli.console import exit_on_errors, out, print_error
from raygenre.errors import RaygenreError
from raygenre.search.controls import Controls, SearchStopped
from raygenre.search.options import Options
from raygenre.search.study.stored_bytes import stored_bytes
from raygenre.studies import local_driver
from raygenre.studies.grants import share_out
from raygenre.studies.request import Request, resuming
from raygenre.studies.session import DriverSession
from raygenre.studies.store import StudiesError, StudyStore, open_store
from raygenre.studies.study import Needs, Progress, State, Study
from raygenre.system.storage import Storage, resolve

_END_SECONDS = 300.0  # s; how long to retry recording the end while the database is unreachable
_ARBITER_PERIOD = 10.0  # s


def main(name: str, attempt: int) -> None:
    """Run a study until it ends, and record how it ended.

    Raises:
        SystemExit: with status 1 if the study failed.
    """
    started = time.monotonic()
    signal.signal(signal.SIGTERM, _interrupt)
    study_url = os.environ.get("RAYGENRE_STUDY_URL") or None
    with exit_on_errors():
        store = open_store(os.environ.get("RAYGENRE_STORAGE"), study_url)
        study = store.get(name)
        if study.address:  # imported before the start is recorded, so that `submit` reports missing packages
            _import_search()
        scope = os.environ["RAY_ADDRESS"] if study.address else local_driver.scope()
        job = study.job if study.address else local_driver.process_name()
        if study.attempt != attempt or not store.start(name, attempt, job=job, scope=scope):
            out.print(f"the study {name} is not waiting for this driver")
            return
    state, error = _Driver(store, study, study_url, scope).run(started)
    if error:
        print_error(error)
    _end(lambda: store.end(name, attempt, state, error=error))
    if state == "failed":
        sys.exit(1)


class _Driver:
    """One run of the driver."""

    def __init__(self, store: StudyStore, study: Study, study_url: str | None, scope: str) -> None:
        self._store, self._study, self._study_url, self._scope = store, study, study_url, scope
        self._controls = Controls()
        self._arbiter_due = 0.0
        self._ledger: Any = None

    def run(self, started: float) -> tuple[State, str]:
        """Run the search, and return the study's final state and the error message, if any."""
        try:
            options, storage = self._options()
            with DriverSession(
                self._store,
                self._study.name,
                self._study.attempt,
                controls=self._controls,
                first=_first_needs(options),
                share_out=self._share_out if self._study.address else self._share_out_here,
                progress=lambda: self._progress(storage),
                facts=lambda: self._facts(storage),
            ) as session:
                # On a cluster, the arbiter needs a connection to Ray, which the search establishes.
                if not self._study.address and not session.wait_for_place():
                    return "stopped", ""
                _import_search()
                session.observe()
                return self._search(options, started)
        except RaygenreError as error:
            return "failed", str(error)
        except KeyboardInterrupt:
            return "stopped", ""
        except Exception as error:  # noqa: BLE001 (a bug, which the study must report, since no one is watching)
            traceback.print_exc()
            return "failed", f"{type(error).__name__}: {error}"

    def _search(self, options: Options, started: float) -> tuple[State, str]:
        from raygenre.cli.tune_run import ERRORS, TuneSession  # imported here because Ray is slow to import
        from raygenre.workflows.tune import PromotionPendingError

        session = TuneSession(options, out, controls=self._controls)
        try:
            session.run(started)
        except SearchStopped:
            name = self._study.name
            out.print(f"Stopped. Everything so far is saved. Resume with:\n  raygenre studies resume {name}")
            return "stopped", ""
        except PromotionPendingError as error:
            return "done", str(error)
        except ERRORS as error:
            return "failed", session.reason(error)
        finally:
            if session.ledger:
                session.ledger.close()  # before the end is recorded, so that another driver can resume the study
        return "done", ""

    def _options(self) -> tuple[Options, Storage]:
        """Return the options for this run of the driver, and the study's storage."""
        request = Request.from_json(self._study.request)
        storage = resolve(request.options.storage, request.options.tracking_uri)
        options = request.unpacked(local_driver.submitted_files(storage, self._study.name))
        if _exists(storage, self._study.name):
            progress, wish = self._progress(storage), self._study.trials
            options = replace(resuming(options), trials=wish if wish and progress and wish > progress.total else 0)
        address = self._scope if self._study.address else None
        return replace(options, study_url=self._study_url, address=address), storage

    def _share_out_here(self) -> None:
        share_out(self._store, self._scope, local_driver.nodes())

    def _share_out(self) -> None:
        """Once the search has connected to Ray, ensure that the cluster has an arbiter."""
        if time.monotonic() < self._arbiter_due:
            return
        from raygenre.search.trials.cluster import RayError
        from raygenre.studies.arbiter import ensure_arbiter

        with suppress(RayError, OSError, RuntimeError, ValueError):  # Ray is busy; try again in the next second
            if ensure_arbiter(self._store, self._scope):
                self._arbiter_due = time.monotonic() + _ARBITER_PERIOD

    def _progress(self, storage: Storage) -> Progress | None:
        progress: Progress | None = self._reader(storage).progress()
        return progress

    def _facts(self, storage: Storage) -> dict[str, Any]:
        facts: dict[str, Any] = {}
        with suppress(OSError):
            facts["bytes"] = stored_bytes(storage.studies, self._study.name)
        if study_id := self._reader(storage).study_id:
            facts["study_id"] = study_id
        return facts

    def _reader(self, storage: Storage) -> Any:
        if self._ledger is None:
            from raygenre.studies.progress import LedgerReader  # imported here because it loads Optuna

            self._ledger = LedgerReader(storage.studies / self._study.name, self._study_url)
        return self._ledger


def _import_search() -> None:
    """Import Ray and everything else that a search needs.

    This takes several seconds and hundreds of megabytes of memory.
    """
    import raygenre.cli.tune_run
    import raygenre.studies.arbiter
    import raygenre.studies.progress  # noqa: F401


def _first_needs(options: Options) -> Needs:
    """Return the resources that a study needs before its start: those of one place."""
    gpus = options.gpus_per_trial
    if gpus is None:
        gpus = 1.0 if any(node.gpus for node in local_driver.nodes()) else 0.0
    return Needs("starting", 1, 0, options.cpus_per_trial or 1.0, gpus)


def _exists(storage: Storage, name: str) -> bool:
    """Return whether an earlier driver has created the study."""
    from raygenre.search.space.choices import CONFIG_FILE

    return CONFIG_FILE in (storage.studies / name).files()


def _end(record: Callable[[], None]) -> None:
    """Record the end of the study, retrying while the database is unreachable."""
    deadline = time.monotonic() + _END_SECONDS
    while True:
        try:
            return record()
        except StudiesError as error:
            if time.monotonic() > deadline:
                print_error(str(error))
                return None
        time.sleep(1)


def _interrupt(*_: object) -> NoReturn:
    """Handle SIGTERM, which Ray and Kubernetes send, as if Ctrl-C had been pressed."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
