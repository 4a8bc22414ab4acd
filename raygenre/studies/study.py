"""A study as recorded by the service, and its driver's reports."""

from dataclasses import dataclass
from typing import Literal

State = Literal["queued", "running", "stopping", "stopped", "failed", "done"]
ENDED: tuple[State, ...] = ("stopped", "failed", "done")


@dataclass(frozen=True)
class Study:
    """A row of the table of studies; see `raygenre.studies.table`.

    Attributes:
        now: database time at which the row was read, in s since 1970, like all times here.
    """

    name: str
    owner: str
    state: State
    state_at: float
    created_at: float
    request: str
    storage: str
    address: str
    attempt: int
    job: str
    scope: str
    heartbeat_at: float
    priority: int
    max_concurrent: int | None
    trials: int | None
    time_budget: float | None
    phase: str
    places: int
    running: int
    cpus: float
    gpus: float
    completed: int
    pruned: int
    failed: int
    total: int
    best: float | None
    objective: str
    cpu_seconds: float
    gpu_seconds: float
    seconds_left: float | None
    bytes: int | None
    errors: str
    study_id: str
    error: str
    granted: int | None
    now: float

    @property
    def has_ended(self) -> bool:
        """Whether the study has no driver that is running or about to start."""
        return self.state in ENDED


@dataclass(frozen=True)
class Needs:
    """The resources that a driver could use now, and those that it is using; see `raygenre.search.controls.Demand`."""

    phase: str
    places: int
    running: int
    cpus: float
    gpus: float


@dataclass(frozen=True)
class Progress:
    """The progress of a study.

    Attributes:
        completed, pruned, failed: number of trials in each of these states.
        total: number of trials that the study will have in the end.
        best: the best value of the first objective; None before the first completed trial.
        objective: name of the first objective.
        errors: the most recent failures of trials, latest first.
    """

    completed: int
    pruned: int
    failed: int
    total: int
    best: float | None
    objective: str
    errors: tuple[str, ...]
