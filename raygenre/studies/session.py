"""Reports every second what a study's driver is doing, and passes new limits to its search."""

import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from raygenre.search.controls import Controls
from raygenre.studies.store import StudiesError, StudyStore
from raygenre.studies.study import Needs, Progress, Study

PERIOD = 1.0  # s
_PROGRESS_PERIOD = 5.0  # s; reading the ledger takes longer than a report
_FACTS_PERIOD = 60.0  # s
_END_SECONDS = 20.0  # s to wait for each thread to end


class DriverSession:
    """Sends the reports of a driver; use it as a context manager around the search.

    One thread sends the reports. After `observe` is called, another thread reads the study's progress, which may take a
    long time if a store does not respond.

    Args:
        attempt: number of this start of the study.
        controls: controls of the search.
        first: the resources that the study needs until the search has started and reports its own needs.
        share_out: called every second after the report; distributes places, or ensures that an arbiter does so.
        progress: returns the progress of the study.
        facts: called about once a minute; returns the values of other columns, such as `bytes`.
    """

    def __init__(
        self,
        store: StudyStore,
        name: str,
        attempt: int,
        *,
        controls: Controls,
        first: Needs,
        share_out: Callable[[], object],
        progress: Callable[[], Progress | None],
        facts: Callable[[], dict[str, Any]],
    ) -> None:
        self._store, self._name, self._attempt = store, name, attempt
        self._controls, self._first = controls, first
        self._share_out, self._progress, self._facts = share_out, progress, facts
        self._ended = threading.Event()
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._run, daemon=True)]
        self._reported = time.monotonic()
        self._seen: Progress | None = None
        self._known: dict[str, Any] = {}
        controls.limit = 0

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(_END_SECONDS)
        with suppress(StudiesError):
            self._report()

    def observe(self) -> None:
        """Start reporting the study's progress.

        Call this after the search has been imported: two threads that import the same modules may block each other.
        """
        self._seen, self._known = self._progress(), self._facts()  # called on this thread because both import modules
        self._threads.append(threading.Thread(target=self._observe, daemon=True))
        self._threads[-1].start()

    def wait_for_place(self) -> bool:
        """Wait until the study may use a place, and return True; return False if it was stopped instead."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._controls.limit) or self._controls.stopping)
        return not self._controls.stopping

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._report()
                self._share_out()
            except StudiesError:  # the search continues with its last limits until the database is back
                pass
            except Exception:  # noqa: BLE001 (a driver that stops reporting would be considered dead)
                traceback.print_exc()
            self._ended.wait(PERIOD)

    def _observe(self) -> None:
        due = time.monotonic() + _FACTS_PERIOD
        while True:
            is_last = self._ended.wait(_PROGRESS_PERIOD)
            self._seen = self._progress() or self._seen
            if is_last or time.monotonic() >= due:
                self._known = self._facts()
                due = time.monotonic() + _FACTS_PERIOD
            if is_last:
                return

    def _report(self) -> None:
        now = time.monotonic()
        demand = self._controls.demand
        needs = Needs(**vars(demand)) if demand else self._first
        progress, facts = self._seen, dict(self._known)
        with suppress(Exception):  # the search changed its times during the estimate, or cannot read its database
            facts["seconds_left"] = self._controls.seconds_left()
        study = self._store.report(
            self._name, self._attempt, needs=needs, seconds=now - self._reported, progress=progress, facts=facts
        )
        self._reported = now
        with self._changed:
            self._follow(study)
            self._changed.notify_all()

    def _follow(self, study: Study | None) -> None:
        if study is None or study.state == "stopping":  # None: the study was removed, or another driver is running it
            self._controls.request_stop()
            return
        granted = study.granted or 0
        self._controls.limit = granted if study.max_concurrent is None else min(granted, study.max_concurrent)
        self._controls.trials = study.trials
        self._controls.time_budget = study.time_budget
