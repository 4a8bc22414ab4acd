"""After the search: the best settings again on new seeds.

The best of many trials is partly luck, so the search's own values do not choose the winner. Each of the best k
settings is trained again from new seeds; the lowest mean loss wins, and its mean best epoch says how long the final
training goes (see `raygenre.search.trials.final_training`), which has no validation tracks left to tell.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
from optuna.trial import FrozenTrial
from ray.exceptions import OutOfMemoryError, WorkerCrashedError

from raygenre.search.space.config import Resources
from raygenre.search.space.space import Setting
from raygenre.search.study.backend import StudyError
from raygenre.search.study.ledger import CHECKPOINT, Ledger
from raygenre.search.trials.out_of_memory import KILLED
from raygenre.search.trials.recorder import METRICS
from raygenre.search.trials.trainable import Plan, Tracks, Training, train_again
from raygenre.search.trials.trial_config import trial_seed
from raygenre.system.location import Location
from raygenre.tracking.tracker import Tracker

RERUNS = 2  # of each of the best settings
_FIRST_RERUN = 1_000_000  # seeds of re-runs are numbered from here, those of trials from 0


@dataclass(frozen=True)
class Finalist:
    """One of the best settings, trained again.

    Attributes:
        number: of its trial.
        setting: its values.
        search_loss: the objective in the search.
        losses: the objective of each re-run.
        accuracies: validation accuracy of each re-run at its best epoch.
        epochs: best epoch of each re-run.
    """

    number: int
    setting: Setting
    search_loss: float
    losses: tuple[float, ...]
    accuracies: tuple[float, ...]
    epochs: tuple[int, ...]

    @property
    def loss(self) -> float:
        """Mean objective of the re-runs."""
        return float(np.mean(self.losses))

    @property
    def spread(self) -> float:
        """Standard deviation of the objective of the re-runs that did not fail."""
        finite = [loss for loss in self.losses if math.isfinite(loss)]
        return float(np.std(finite, ddof=1)) if len(finite) > 1 else 0.0

    @property
    def optimism(self) -> float:
        """How much worse the setting is on new seeds than it looked in the search."""
        return self.loss - self.search_loss


class Repeats:
    """Trains the best settings again as Ray tasks, and records these trainings."""

    def __init__(
        self,
        ledger: Ledger,
        plan: Plan,
        tracks: "ray.ObjectRef[Tracks]",
        *,
        resources: Resources,
        tracker: Tracker,
        parent: str,
    ) -> None:
        self._ledger = ledger
        self._plan = plan
        self._tracks = tracks
        self._tracker = tracker
        self._parent = parent
        # A task whose worker died begins again from its last epoch.
        task = ray.remote(num_cpus=resources.cpus, num_gpus=resources.gpus, max_retries=3)
        self._train_again = task(train_again)
        self._most = resources.max_concurrent
        self._waiting: list[tuple[int, int]] = []
        self._running: dict[ray.ObjectRef[Training], tuple[int, int]] = {}
        self._failed: dict[str, dict[str, Any]] = {}  # re-runs that a resumed search may try again

    def start(self) -> None:
        """Start the trainings; what an earlier driver finished is in the ledger and stays as it is."""
        known = self._ledger.study.user_attrs
        self._waiting = [
            (trial.number, again)
            for trial in self._ledger.top(self._ledger.config.top_k)
            for again in range(RERUNS)
            if _rerun(trial.number, again) not in known
        ]
        self._start_waiting()

    def finish(self, done: Callable[[Finalist], None]) -> list[Finalist]:
        """Wait for the trainings, and return the finalists, best first.

        Args:
            done: called with each finalist when it is complete.

        Raises:
            StudyError: no trial of the search was complete.
        """
        ledger = self._ledger
        best = ledger.top(ledger.config.top_k)
        if not best:
            reasons = sorted({ledger.failure(trial.number) or "" for trial in ledger.trials} - {""})
            raise StudyError(
                f"no trial of the study {ledger.name} completed: {'; '.join(reasons) or 'all were stopped'}"
            )
        parent = self._tracker.start("finalists", "finalists", parent=self._parent)
        finalists: dict[int, Finalist] = {}
        while len(finalists) < len(best):
            for trial in best:
                finalist = self._finalist(trial)
                if finalist and trial.number not in finalists:
                    finalists[trial.number] = finalist
                    done(finalist)
            if self._running:
                [ready], _ = ray.wait(list(self._running), num_returns=1)
                number, again = self._running.pop(ready)
                self._start_waiting()
                self._record(parent, number, again, result(ready))
        self._tracker.end(parent, "FINISHED")
        return sorted(finalists.values(), key=lambda finalist: finalist.loss)

    def places(self, number: int) -> tuple[Location, ...]:
        """Where the re-runs of a trial's setting keep their training states."""
        return tuple(self._ledger.place / "finalists" / f"{number:04d}-{again}" for again in range(RERUNS))

    def _start_waiting(self) -> None:
        while self._waiting and (not self._most or len(self._running) < self._most):
            number, again = self._waiting.pop(0)
            self._running[self._begin(number, again)] = (number, again)

    def _begin(self, number: int, again: int) -> "ray.ObjectRef[Training]":
        setting, place = self._ledger.setting(number), self.places(number)[again]
        return self._train_again.remote(self._plan, setting, [self._tracks], self._seed(number, again), place)

    def _seed(self, number: int, again: int) -> int:
        return trial_seed(self._ledger.config.seed, _FIRST_RERUN + number * RERUNS + again)

    def _finalist(self, trial: FrozenTrial) -> Finalist | None:
        """What the ledger knows of a finalist, once all its re-runs are there."""
        known = self._ledger.study.user_attrs | self._failed
        names = [_rerun(trial.number, again) for again in range(RERUNS)]
        if not all(name in known for name in names):
            return None
        return Finalist(
            trial.number,
            self._ledger.setting(trial.number),
            self._ledger.loss(trial.number),
            tuple(known[name]["loss"] for name in names),
            tuple(known[name]["accuracy"] for name in names),
            tuple(known[name]["epoch"] for name in names),
        )

    def _record(self, parent: str, number: int, again: int, training: Training) -> None:
        rows, failure, about = training
        about |= {"seed": str(self._seed(number, again)), CHECKPOINT: str(self.places(number)[again])}
        run = self._tracker.start(
            f"finalist-{number:04d}-{again}",
            "finalist",
            parent=parent,
            params=self._ledger.trials[number].params,
            tags={"trial": number, "study": self._ledger.name, "rerun": again, **about},
        )
        self._tracker.log_missing(run, [{key: row[key] for key in (*METRICS, "epoch")} for row in rows])
        if failure:
            self._tracker.end(run, "FAILED", tags={"failure": failure})
            self._failed[_rerun(number, again)] = {"loss": math.inf, "accuracy": 0.0, "epoch": 1}
        else:
            self._tracker.end(run, "FINISHED")
            best = min(rows, key=lambda row: row["validation_loss"])
            outcome = {
                "loss": best["validation_loss"],
                "accuracy": best["validation_accuracy"],
                "epoch": int(best["epoch"]),
            }
            self._ledger.keep()
            self._ledger.study.set_user_attr(_rerun(number, again), outcome)


def result(training: "ray.ObjectRef[Training]") -> Training:
    """Wait for a training, and return it; of one whose worker died, why."""
    try:
        return ray.get(training)
    except OutOfMemoryError:
        return [], KILLED, {}
    except WorkerCrashedError:
        return [], "its worker died repeatedly", {}


def _rerun(number: int, again: int) -> str:
    return f"rerun-{number}-{again}"
