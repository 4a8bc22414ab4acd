"""The courier: one thread that carries what is in the spool to MLflow, while the search goes on.

It goes out once a second, waits ever longer while MLflow is away, and never gives up. Nothing of the search waits for
it, but for two bounded times: a moment at the start, in which a wrong address shows, and `drain` at the end.
"""

import threading
import time
from contextlib import ExitStack

from raygenre.system.storage import Storage
from raygenre.tracking.mlflow_writer import Delivery
from raygenre.tracking.server import Server, TrackingAddressError, meaning, no_retries, reason, unauthenticated
from raygenre.tracking.spool import Spool, SpoolClosedError

BATCH_SECONDS = 1.0  # s between two rounds
LONGEST_PAUSE = 10.0  # s between two tries while MLflow is away
_HURRIED_PAUSE = 1.0  # s between two tries while `drain` waits
_BACKLOG = 1000  # entries; with more of them the courier does not rest
_FIRST_PAUSE = 0.25  # s after the first try that failed, doubled after each further one


class Sender:
    """Carries one spool, from `begin` to `end`."""

    def __init__(self, storage: Storage, spool: Spool) -> None:
        self._place = storage.server
        self._server = Server(storage)
        self._spool = spool
        self._delivery = Delivery(self._server, spool)
        self._met = any(run.id for run in spool.runs.values())  # by a driver before this one
        self._error: Exception | None = None
        self._tried = threading.Event()
        self._wake = threading.Event()
        self._hurried = False
        self._ended = False
        self._settings = ExitStack()
        self._thread = threading.Thread(target=self._work, name="mlflow-courier", daemon=True)

    def begin(self, patience: float) -> None:
        """Start, and wait at most `patience` s for the server's first word.

        Raises:
            TrackingAddressError: there was never an MLflow that could be used, or it does not know the user; not if it
                is only away.
        """
        self._settings.enter_context(no_retries())
        self._thread.start()
        self._tried.wait(patience)
        try:
            self._check()
        except TrackingAddressError:
            self.end()
            raise

    def introduce(self, run: str, patience: float) -> None:
        """Have a run made at once where MLflow answers, while somebody is there to hear that it may not be.

        Raises:
            TrackingAddressError: it may not.
        """
        self._wake.set()
        until = time.monotonic() + patience
        while not self._spool.runs[run].id and not self.trouble and time.monotonic() < until:
            time.sleep(0.01)
        self._check()

    @property
    def trouble(self) -> str:
        """Why MLflow is away; empty while it answers."""
        if self._error:
            return reason(self._error)
        return "" if self._tried.is_set() else "no answer yet"

    def drain(self, patience: float) -> bool:
        """Wait until MLflow has everything, at most `patience` s without any progress; return whether it has."""
        self._hurried = True
        self._wake.set()
        calls, until = self._delivery.calls, time.monotonic() + patience
        while self._spool.waiting and self._thread.is_alive() and time.monotonic() < until:
            if self._delivery.calls != calls:
                calls, until = self._delivery.calls, time.monotonic() + patience
            time.sleep(0.02)
        self._hurried = False
        return not self._spool.waiting

    def end(self) -> None:
        """Stop. A call that is under way may still be heard; the next driver looks after it."""
        self._ended = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(0.2 if self._error else 2.0)
        self._settings.close()

    def _check(self) -> None:
        error = self._error
        if error and meaning(error) != "unreachable" and (not self._met or unauthenticated(error)):
            raise TrackingAddressError(f"MLflow cannot be used at {self._place}: {reason(error)}") from error

    def _work(self) -> None:
        pause, reached = _FIRST_PAUSE, False
        while not self._ended:
            self._wake.clear()
            more = False
            try:
                if not reached:
                    reached = bool(self._server.experiment_id)
                more = self._delivery.deliver() and (self._hurried or self._spool.waiting > _BACKLOG)
                self._error = None
                pause = _FIRST_PAUSE
            except SpoolClosedError:
                return
            except Exception as error:  # noqa: BLE001 (whatever it is, the search goes on without MLflow)
                self._error = error
                pause = min(2 * pause, _HURRIED_PAUSE if self._hurried else LONGEST_PAUSE)
            self._tried.set()
            if not more:
                self._wake.wait(pause if self._error else BATCH_SECONDS)
