"""The search's interface to MLflow: a run for the search, with a child run per trial.

Every call appends to the study's spool and returns, and a thread uploads the spool to MLflow. The search therefore
never waits for a server, and does not need a server while it runs. A run is identified by our own key, because MLflow
assigns its id later. Repeated calls have no effect, so a driver that resumes a study may log everything again.
"""

import io
import time
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from raygenre.data.split_summary import Part
from raygenre.tracking.retries import TrackingUnreachableError
from raygenre.tracking.sender import Sender
from raygenre.tracking.server import Server
from raygenre.tracking.shared_view import View
from raygenre.tracking.spool import SPOOL as SPOOL
from raygenre.tracking.spool import Spool

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SERVER_TIMEOUT = 3.0  # s to wait for a server at the start
_DATABASE_TIMEOUT = 60.0  # s to wait for a database, in which MLflow may first have to create tables

_EMPTY: tuple[object, ...] = (None, "", [], {}, ())  # values that carry no information

Status = Literal["FINISHED", "FAILED", "KILLED"]
Role = Literal["search", "trial", "finalists", "finalist", "final"]


class Tracker:
    """Logs the runs of one study to one experiment on one tracking server.

    Attributes:
        uri: address of the tracking server or database, without a password.
    """

    def __init__(self, server: Server, folder: Path, study_id: str) -> None:
        """Open the spool in the study's folder and start uploading it.

        Raises:
            TrackingAddressError: the address is wrong, or the login failed. An unreachable server is not an error.
        """
        self._study_id = study_id
        self._started = time.monotonic()
        self._spool = Spool(folder / SPOOL)
        if server.storage.url:  # a driver on another machine may have created runs that this copy of the spool lacks
            self._spool.is_new = False
        self.uri = server.address
        self._sender = Sender(server, self._spool)
        try:
            self._sender.start(_SERVER_TIMEOUT if server.uri.startswith("http") else _DATABASE_TIMEOUT)
        except BaseException:
            self._spool.close()
            raise

    @property
    def spool(self) -> Path:
        """The file that holds the queued updates."""
        return self._spool.path

    @property
    def refused_path(self) -> Path:
        """The file that contains the updates rejected by MLflow."""
        return self._spool.refused_path

    @property
    def unreachable_reason(self) -> str:
        """The reason why MLflow is unreachable; empty while it is reachable."""
        return self._sender.unreachable_reason

    @property
    def waiting(self) -> int:
        """Number of updates that MLflow does not have yet."""
        return self._spool.waiting

    @property
    def refused(self) -> int:
        """Number of this driver's updates that MLflow rejected."""
        return self._spool.refused

    def key(self, role: Role, name: str) -> str:
        """Return the key of a run."""
        return f"{self._study_id}/{role}/{name}"

    def start(
        self,
        name: str,
        role: Role,
        *,
        parent: str | None = None,
        params: Mapping[str, object] | None = None,
        tags: Mapping[str, object] | None = None,
        at: float | None = None,
    ) -> str:
        """Start or resume a run, and return its key.

        Args:
            params: settings, which are immutable in MLflow; for a trial, only those in the search space. Empty values
                are left out.
            tags: other facts. Empty values are left out.
            at: time at which the run started, in s since 1970; by default, now.

        Raises:
            TrackingAddressError: MLflow does not allow the user to create runs. This is checked only for runs without a
                parent.
        """
        run = self.key(role, name)
        if run not in self._spool.runs:
            self._queue(
                run,
                "start",
                name=name,
                parent=parent,
                params=_texts(params or {}),
                tags=_texts({"role": role, **(tags or {})}),
                at=at,
            )
        elif self._spool.runs[run].status != "RUNNING":
            self._queue(run, "reopen")
        if parent is None:
            self._sender.create_run_now(run, _SERVER_TIMEOUT)
        return run

    def log(self, run: str, values: Mapping[str, float], *, step: int) -> None:
        """Log values at a step unless the run already has them. MLflow's views show the first value in `values`."""
        if step not in self.steps(run, next(iter(values))):
            self._queue(run, "log", values={key: float(value) for key, value in values.items()}, step=step)

    def log_missing(self, run: str, rows: Iterable[Mapping[str, float]]) -> None:
        """Log the rows of values that the run does not have yet; a row's `epoch` is its step."""
        for row in rows:
            self.log(run, {key: value for key, value in row.items() if key != "epoch"}, step=int(row["epoch"]))

    def set_tags(self, run: str, tags: Mapping[str, object]) -> None:
        """Set tags of a run."""
        self._queue(run, "tag", tags=_texts(tags))

    def log_inputs(self, run: str, parts: Iterable[Part]) -> None:
        """Log the data that a run uses, in the form of MLflow datasets."""
        self._queue(run, "inputs", parts=[asdict(part) for part in parts])

    def save_view(self, run: str, view: View) -> None:
        """Save the view of a search's trials in MLflow's list of runs."""
        self._queue(run, "view", view=asdict(view))

    def steps(self, run: str, name: str) -> set[int]:
        """Return the logged steps of a value. For values that are logged together, pass the name of the first one."""
        return self._spool.runs[run].steps.get(name, set())

    def log_text(self, run: str, text: str, file: str) -> None:
        """Log a text as an artifact."""
        self.log_file(run, text.encode(), file)

    def log_file(self, run: str, content: bytes, file: str) -> None:
        """Log bytes as an artifact."""
        self._queue(run, "file", file=file, base64=b64encode(content).decode())

    def log_figure(self, run: str, figure: "Figure", file: str) -> None:
        """Log a figure as a PNG artifact."""
        image = io.BytesIO()
        figure.savefig(image, format="png")
        self.log_file(run, image.getvalue(), file)

    def end(
        self, run: str, status: Status, *, tags: Mapping[str, object] | None = None, at: float | None = None
    ) -> None:
        """End a run. After this call, the run's updates survive a crash of the machine.

        Args:
            at: time at which the run ended, in s since 1970; by default, now.
        """
        self._queue(run, "end", durable=True, at=at, status=status, tags=_texts(tags or {}))

    def has_run(self, run: str) -> bool:
        """Return whether a run has been started."""
        return run in self._spool.runs

    def is_finished(self, run: str) -> bool:
        """Return whether a run has ended and will not be resumed."""
        spooled = self._spool.runs.get(run)
        return spooled is not None and spooled.status in ("FINISHED", "FAILED")

    def open_runs(self) -> list[str]:
        """Return the runs that have not ended."""
        return [run for run, spooled in self._spool.runs.items() if spooled.status == "RUNNING"]

    def run_id(self, run: str) -> str:
        """Return a run's MLflow id.

        Raises:
            TrackingUnreachableError: MLflow has not created the run yet.
        """
        if run_id := self._spool.runs[run].id:
            return run_id
        raise TrackingUnreachableError(f"MLflow at {self.uri} has not created the run {run} yet")

    def new_run_ids(self) -> list[tuple[str, str]]:
        """Return the (run, MLflow id) pairs that no earlier call has returned."""
        return self._spool.new_run_ids()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until MLflow has all updates or makes no progress for `timeout` s; return whether it has all of them.

        The default timeout is 2 % of the time since this driver started, but at least 5 s and at most 60 s.
        """
        default = min(max((time.monotonic() - self._started) / 50, 5), 60)
        return self._sender.flush(default if timeout is None else timeout)

    def close(self) -> None:
        """Stop uploading. Updates that MLflow does not have yet stay in the spool."""
        self._sender.stop()
        self._spool.close()

    def _queue(self, run: str, do: str, *, durable: bool = False, at: float | None = None, **content: object) -> None:
        moment = int((time.time() if at is None else at) * 1000)
        self._spool.append({"do": do, "run": run, "time": moment, **content}, durable=durable)


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    """Return the values as strings, without empty values."""
    return {key: str(value) for key, value in values.items() if value not in _EMPTY}
