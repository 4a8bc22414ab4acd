"""MLflow, as the search writes to it: a run for the search, a run for each trial below it.

All that is said here goes into the study's spool and is carried to MLflow by a thread, so that no one waits for a
server, and none is needed while the search goes on. A run is named by a key of our own; MLflow's id comes later. What
was said once is not said again: a driver that goes on with a study may repeat everything.
"""

import io
import time
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from raygenre.data.split_summary import Part
from raygenre.system.storage import Storage
from raygenre.tracking.sender import Sender
from raygenre.tracking.server import TrackingUnreachableError
from raygenre.tracking.spool import Spool

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SPOOL = "mlflow-spool.jsonl"
"""The spool's name in the study's folder."""

_FIRST_WORD = 3.0  # s that a server has at the start
_FIRST_TABLES = 60.0  # s that a database has, whose tables may have to be made

Status = Literal["FINISHED", "FAILED", "KILLED"]
Role = Literal["search", "trial", "finalists", "finalist", "final"]


class Tracker:
    """Writes the runs of one study to one experiment of one tracking server.

    Attributes:
        uri: of the tracking server, or of the database, as it may be shown.
    """

    def __init__(self, storage: Storage, folder: Path, study_id: str) -> None:
        """Begin with the study of this folder and id.

        Raises:
            TrackingAddressError: there was never an MLflow that could be used; not if it is only away.
        """
        self.uri = storage.server
        self._study_id = study_id
        self._began = time.monotonic()
        self._spool = Spool(folder / SPOOL)
        if storage.url:  # a driver whose machine is gone may have made runs that this copy does not know of
            self._spool.fresh = False
        self._courier = Sender(storage, self._spool)
        try:
            self._courier.begin(_FIRST_WORD if storage.tracking_uri.startswith("http") else _FIRST_TABLES)
        except BaseException:
            self._spool.close()
            raise

    @property
    def spool(self) -> Path:
        """The file in which everything waits."""
        return self._spool.path

    @property
    def trouble(self) -> str:
        """Why MLflow is away; empty while it answers."""
        return self._courier.trouble

    @property
    def waiting(self) -> int:
        """How many entries MLflow does not have yet."""
        return self._spool.waiting

    @property
    def refused(self) -> int:
        """How many entries MLflow would not have, of this driver's."""
        return self._spool.refused

    def key(self, role: Role, name: str) -> str:
        """Name a run."""
        return f"{self._study_id}/{role}/{name}"

    def start(
        self,
        name: str,
        role: Role,
        *,
        parent: str | None = None,
        params: Mapping[str, object] | None = None,
        tags: Mapping[str, object] | None = None,
    ) -> str:
        """Begin a run, or go on with it, and return its key. Searched values are `params`, fixed ones are `tags`.

        Raises:
            TrackingAddressError: a run below no other may not be made, as by a user who may only read.
        """
        run = self.key(role, name)
        if run not in self._spool.runs:
            self._say(
                run,
                "start",
                name=name,
                parent=parent,
                params=_texts(params or {}),
                tags=_texts({"role": role, **(tags or {})}),
            )
        elif self._spool.runs[run].status != "RUNNING":
            self._say(run, "reopen")
        if parent is None:
            self._courier.introduce(run, _FIRST_WORD)
        return run

    def log(self, run: str, values: Mapping[str, float], *, step: int) -> None:
        """Log values at a step, unless the run has them; the first one is the one that MLflow's views pick."""
        if step not in self.steps(run, next(iter(values))):
            self._say(run, "log", values={key: float(value) for key, value in values.items()}, step=step)

    def log_missing(self, run: str, rows: Iterable[Mapping[str, float]]) -> None:
        """Log rows of values, `epoch` being their step, but for those that the run has already."""
        for row in rows:
            self.log(run, {key: value for key, value in row.items() if key != "epoch"}, step=int(row["epoch"]))

    def tag(self, run: str, tags: Mapping[str, object]) -> None:
        """Add tags to a run."""
        self._say(run, "tag", tags=_texts(tags))

    def inputs(self, run: str, parts: Iterable[Part]) -> None:
        """Name the data that a run sees."""
        self._say(run, "inputs", parts=[asdict(part) for part in parts])

    def steps(self, run: str, name: str) -> set[int]:
        """The steps at which values were logged, told by the name of the first of them."""
        return self._spool.runs[run].steps.get(name, set())

    def text(self, run: str, text: str, file: str) -> None:
        """Keep a text as an artifact."""
        self.file(run, text.encode(), file)

    def file(self, run: str, content: bytes, file: str) -> None:
        """Keep bytes as an artifact."""
        self._say(run, "file", file=file, base64=b64encode(content).decode())

    def figure(self, run: str, figure: "Figure", file: str) -> None:
        """Keep a figure as an artifact, a PNG."""
        image = io.BytesIO()
        figure.savefig(image, format="png")
        self.file(run, image.getvalue(), file)

    def end(self, run: str, status: Status, *, tags: Mapping[str, object] | None = None) -> None:
        """End a run. What was said of it survives from now on even if the machine goes down."""
        self._say(run, "end", lasting=True, status=status, tags=_texts(tags or {}))

    def knows(self, run: str) -> bool:
        """Whether a run was begun."""
        return run in self._spool.runs

    def ended(self, run: str) -> bool:
        """Whether a run was ended and will not go on."""
        known = self._spool.runs.get(run)
        return known is not None and known.status in ("FINISHED", "FAILED")

    def open_runs(self) -> list[str]:
        """The runs that were not ended."""
        return [run for run, known in self._spool.runs.items() if known.status == "RUNNING"]

    def run_id(self, run: str) -> str:
        """MLflow's id of a run that MLflow has.

        Raises:
            TrackingUnreachableError: MLflow has not got to know of it.
        """
        if known := self._spool.runs[run].id:
            return known
        raise TrackingUnreachableError(f"MLflow at {self.uri} does not know of {run} yet")

    def arrivals(self) -> list[tuple[str, str]]:
        """Runs with the ids that MLflow gave them, each once a driver."""
        return self._spool.arrivals()

    def drain(self, patience: float | None = None) -> bool:
        """Wait until MLflow has everything, at most `patience` s without any progress; return whether it has.

        By default that is a fiftieth of the time since this driver began, between 5 s and a minute.
        """
        usual = min(max((time.monotonic() - self._began) / 50, 5), 60)
        return self._courier.drain(usual if patience is None else patience)

    def close(self) -> None:
        """Stop; what is not delivered is kept in the spool."""
        self._courier.end()
        self._spool.close()

    def _say(self, run: str, do: str, *, lasting: bool = False, **content: object) -> None:
        self._spool.append({"do": do, "run": run, "time": int(time.time() * 1000), **content}, lasting=lasting)


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    return {key: str(value) for key, value in values.items()}
