"""A background thread that uploads the spool's updates to MLflow.

The thread sends updates once a second until it is stopped. While MLflow is unreachable, the thread retries at
exponentially increasing intervals. The search waits for the thread in only three places, each with a timeout: `start`
and `create_run_now`, which report a wrong address, and `flush` at the end.
"""

import threading
import time
from contextlib import ExitStack

from raygenre.tracking.mlflow_writer import MlflowWriter
from raygenre.tracking.retries import no_retries
from raygenre.tracking.server import Server
from raygenre.tracking.server_errors import TrackingAddressError, meaning, reason, unauthenticated
from raygenre.tracking.spool import Spool, SpoolClosedError

SEND_INTERVAL = 1.0  # s
MAX_BACKOFF = 10.0  # s between attempts while MLflow is unreachable
_MAX_FLUSH_BACKOFF = 1.0  # s between attempts while `flush` waits
_MIN_BACKOFF = 0.25  # s before the first retry, doubled for each further retry
_BACKLOG = 1000  # number of updates; if more are queued, the next batch is sent immediately


class Sender:
    """Uploads one spool, from `start` to `stop`."""

    def __init__(self, server: Server, spool: Spool) -> None:
        self._server = server
        self._spool = spool
        self._writer = MlflowWriter(server, spool)
        self._reached_before = any(run.id for run in spool.runs.values())  # an earlier driver reached MLflow
        self._error: Exception | None = None
        self._attempted = threading.Event()
        self._wake = threading.Event()
        self._flushing = False
        self._stopped = False
        self._settings = ExitStack()
        self._thread = threading.Thread(target=self._work, name="mlflow-sender", daemon=True)

    def start(self, timeout: float) -> None:
        """Start the thread, and wait at most `timeout` s for the first attempt.

        Raises:
            TrackingAddressError: the address is wrong, or the login failed. An unreachable server is not an error.
        """
        self._settings.enter_context(no_retries())
        self._thread.start()
        self._attempted.wait(timeout)
        try:
            self._check()
        except TrackingAddressError:
            self.stop()
            raise

    def create_run_now(self, run: str, timeout: float) -> None:
        """Wait up to `timeout` s for MLflow to create a run, so that missing permissions are detected early.

        If MLflow is unreachable, return immediately.

        Raises:
            TrackingAddressError: MLflow does not allow the user to create the run.
        """
        self._wake.set()
        deadline = time.monotonic() + timeout
        while not self._spool.runs[run].id and not self.unreachable_reason and time.monotonic() < deadline:
            time.sleep(0.01)
        self._check()

    @property
    def unreachable_reason(self) -> str:
        """The reason why MLflow is unreachable; empty while it is reachable."""
        if self._error:
            return reason(self._error)
        return "" if self._attempted.is_set() else "no response yet"

    def flush(self, timeout: float) -> bool:
        """Wait until MLflow has all updates or makes no progress for `timeout` s; return whether it has all of them."""
        self._flushing = True
        self._wake.set()
        calls, deadline = self._writer.calls, time.monotonic() + timeout
        while self._spool.waiting and self._thread.is_alive() and time.monotonic() < deadline:
            if self._writer.calls != calls:
                calls, deadline = self._writer.calls, time.monotonic() + timeout
            time.sleep(0.02)
        self._flushing = False
        return not self._spool.waiting

    def stop(self) -> None:
        """Stop the thread. A request in progress may still succeed; the next driver checks whether it did."""
        self._stopped = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(0.2 if self._error else 2.0)
        self._settings.close()

    def _check(self) -> None:
        error = self._error
        if error and meaning(error) != "unreachable" and (not self._reached_before or unauthenticated(error)):
            raise TrackingAddressError(f"MLflow at {self._server.address} cannot be used: {reason(error)}") from error

    def _work(self) -> None:
        backoff, has_experiment = _MIN_BACKOFF, False
        while not self._stopped:
            self._wake.clear()
            continue_at_once = False
            try:
                if not has_experiment:
                    has_experiment = bool(self._server.experiment_id)
                continue_at_once = self._writer.write_next() and (self._flushing or self._spool.waiting > _BACKLOG)
                self._error = None
                backoff = _MIN_BACKOFF
            except SpoolClosedError:
                return
            except Exception as error:  # noqa: BLE001 (no tracking error may stop the search)
                self._error = error
                backoff = min(2 * backoff, _MAX_FLUSH_BACKOFF if self._flushing else MAX_BACKOFF)
            self._attempted.set()
            if not continue_at_once:
                self._wake.wait(backoff if self._error else SEND_INTERVAL)
