"""Repeats: the best settings of a search are trained again on new seeds, as Ray tasks."""

import math
import time
from collections.abc import Callable
from typing import Any

import ray
from optuna.trial import FrozenTrial

from raygenre.search.controls import SearchStopped
from raygenre.search.space.config import Resources
from raygenre.search.study.ledger import CHECKPOINT, Ledger
from raygenre.search.trials.failure_reason import WORKER_DIED
from raygenre.search.trials.finalists import REPEATS, Finalist, Repeat, chosen_epoch
from raygenre.search.trials.pause_signal import FOLDER, PauseSignal
from raygenre.search.trials.places import Places
from raygenre.search.trials.recorder import ERROR_FILE
from raygenre.search.trials.saved_epochs import POLL, poll_interval, saved_epochs
from raygenre.search.trials.search_timer import SearchTimer
from raygenre.search.trials.trainable import Plan, Tracks
from raygenre.search.trials.training_task import Training, train_repeat, wait_for
from raygenre.search.trials.trial_config import trial_seed
from raygenre.system.location import Location
from raygenre.tracking.tracker import Tracker

_FIRST_SEED = 1_000_000  # first seed number of the repeats; the seed numbers of trials start at 0


class Repeats:
    """Trains the best settings on new seeds, as Ray tasks, and records the results."""

    def __init__(
        self,
        ledger: Ledger,
        plan: Plan,
        tracks: "ray.ObjectRef[Tracks]",
        *,
        resources: Resources,
        tracker: Tracker,
        parent: str,
        timer: SearchTimer,
        places: Places,
    ) -> None:
        self._ledger = ledger
        self._plan = plan
        self._timer = timer
        self._tracks = tracks
        self._tracker = tracker
        self._parent = parent
        # If a worker dies, Ray restarts its task, which resumes after the last epoch.
        task = ray.remote(num_cpus=resources.cpus, num_gpus=resources.gpus, max_retries=3)
        self._train_repeat = task(train_repeat)
        self._places = places
        self._started: float | None = None  # when the repeats started, in s since 1970
        self._waiting: list[tuple[int, int]] = []
        self._epochs: dict[tuple[int, int], int] = {}  # completed epochs of each repeat
        self._before: dict[tuple[int, int], int] = {}  # completed epochs of each repeat when its task was started
        self._running: dict[ray.ObjectRef[Training], tuple[int, int]] = {}
        self._pausing: set[ray.ObjectRef[Training]] = set()  # the running tasks that were asked to pause
        self._polled = -math.inf  # when the epochs were last counted
        self._failed: dict[str, Repeat] = {}  # not stored in the ledger, so a resumed search runs them again

    @property
    def failures(self) -> list[str]:
        """The reasons why repeats failed, one for each failure."""
        return [repeat.failure for repeat in self._failed.values()]

    def start(self) -> None:
        """Start the repeats, except those that an earlier driver finished."""
        self._started = time.time()
        recorded = self._ledger.study.user_attrs
        self._waiting = [
            (trial.number, index)
            for trial in self._ledger.top(self._ledger.config.top_k)
            for index in range(REPEATS)
            if _key(trial.number, index) not in recorded
        ]
        self._epochs = dict.fromkeys(self._waiting, 0)
        self._timer.repeats_planned(self._waiting)
        self._start_waiting()

    def finish(self, on_repeat: Callable[[Repeat], None], on_epochs: Callable[[int, int], None]) -> list[Finalist]:
        """Wait for the repeats, and return the finalists, best first.

        Args:
            on_repeat: called with each repeat when it ends.
            on_epochs: called regularly with the number of completed epochs and the total number of epochs.
        """
        best = self._ledger.top(self._ledger.config.top_k)
        parent = self._tracker.start("finalists", "finalists", parent=self._parent, at=self._started)
        total = len(self._epochs) * self._plan.epochs
        on_epochs(sum(self._epochs.values()), total)
        while self._running or self._waiting:
            for ready in self._wait():
                number, index = self._running.pop(ready)
                self._pausing.discard(ready)
                training = wait_for(ready)
                self._signal(number, index).clear()
                if training.paused or self._can_continue((number, index), training):
                    self._waiting.insert(0, (number, index))
                    self._timer.repeat_paused((number, index))
                    continue
                self._start_waiting()
                repeat = self._record(parent, number, index, training)
                self._epochs[number, index] = self._plan.epochs
                self._timer.repeat_ended((number, index), 0 if repeat.failure else repeat.epoch)
                on_repeat(repeat)
            self._keep_within_places()
            self._poll_epochs()
            on_epochs(sum(self._epochs.values()), total)
        self._tracker.end(parent, "FINISHED")
        return sorted((self._finalist(trial) for trial in best), key=lambda finalist: finalist.loss)

    def locations(self, number: int) -> tuple[Location, ...]:
        """Return the locations of the training states of a trial's repeats."""
        return tuple(self._ledger.location / "finalists" / f"{number:04d}-{index}" for index in range(REPEATS))

    def _wait(self) -> list["ray.ObjectRef[Training]"]:
        """Wait until a repeat ends, or until it is time to check for a new limit."""
        if self._running:
            return list(ray.wait(list(self._running), num_returns=1, timeout=POLL)[0])
        if self._places.controls.stopping:
            raise SearchStopped(self._ledger.name)
        time.sleep(POLL)
        return []

    def _can_continue(self, repeat: tuple[int, int], training: Training) -> bool:
        """Return whether a repeat lost its worker, as happens on a spot node, but had saved new epochs before that."""
        number, index = repeat
        return training.failure == WORKER_DIED and saved_epochs(self.locations(number)[index]) > self._before[repeat]

    def _start_waiting(self) -> None:
        self._places.report("repeats", wanted=len(self._running) + len(self._waiting), running=len(self._running))
        while self._waiting and self._places.fits(len(self._running)):
            number, index = self._waiting.pop(0)
            setting, location = self._ledger.setting(number), self.locations(number)[index]
            signal = self._signal(number, index)
            signal.clear()
            self._before[number, index] = saved_epochs(location)
            task = self._train_repeat.remote(
                self._plan, setting, [self._tracks], self._seed(number, index), location, signal
            )
            self._running[task] = (number, index)

    def _keep_within_places(self) -> None:
        """Start repeats while places are free, and pause the most recently started ones if there are too many."""
        self._start_waiting()
        limit, active = self._places.limit, [task for task in self._running if task not in self._pausing]
        for task in active[limit:] if limit is not None else []:
            self._pausing.add(task)
            self._signal(*self._running[task]).pause(task)

    def _signal(self, number: int, index: int) -> PauseSignal:
        return PauseSignal(self._ledger.location / FOLDER / f"{number:04d}-{index}")

    def _poll_epochs(self) -> None:
        if time.monotonic() - self._polled < poll_interval(self._ledger.location) / 2:
            return
        self._polled = time.monotonic()
        for number, index in self._running.values():
            epochs = saved_epochs(self.locations(number)[index])
            self._epochs[number, index] = max(epochs, self._epochs[number, index])
            self._timer.repeat_progressed((number, index), epochs)

    def _seed(self, number: int, index: int) -> int:
        return trial_seed(self._ledger.config.seed, _FIRST_SEED + number * REPEATS + index)

    def _finalist(self, trial: FrozenTrial) -> Finalist:
        recorded = self._ledger.study.user_attrs
        repeats = []
        for index in range(REPEATS):
            key = _key(trial.number, index)
            repeats.append(self._failed[key] if key in self._failed else Repeat(trial.number, index, **recorded[key]))
        return Finalist(
            trial.number,
            self._ledger.setting(trial.number),
            self._ledger.loss(trial.number),
            tuple(repeat.loss for repeat in repeats),
            tuple(repeat.accuracy for repeat in repeats),
            tuple(repeat.epoch for repeat in repeats),
        )

    def _record(self, parent: str, number: int, index: int, training: Training) -> Repeat:
        location = {"seed": str(self._seed(number, index)), CHECKPOINT: str(self.locations(number)[index])}
        run = self._tracker.start(
            f"finalist-{number:04d}-{index}",
            "finalist",
            parent=parent,
            params=self._ledger.trial(number).params,
            tags={
                "trial": number,
                "study": self._ledger.name,
                "rerun": index,  # this name is kept for older studies
                **training.environment,
                **location,
            },
            at=training.started,
        )
        self._tracker.log_missing(run, [epoch.row for epoch in training.epochs])
        if training.failure:
            if training.traceback:
                self._tracker.log_text(run, training.traceback, ERROR_FILE)
            self._tracker.end(run, "FAILED", tags={"failure": training.failure}, at=training.ended)
            self._failed[_key(number, index)] = Repeat(number, index, failure=training.failure)
            return self._failed[_key(number, index)]
        self._tracker.end(run, "FINISHED", at=training.ended)
        chosen = chosen_epoch(training.epochs, self._ledger.setting(number).training())
        outcome: dict[str, Any] = {
            "loss": training.epochs[-1].best_validation_loss,
            "accuracy": chosen.validation_accuracy,
            "epoch": chosen.epoch,
        }
        self._ledger.save()
        self._ledger.study.set_user_attr(_key(number, index), outcome)
        return Repeat(number, index, **outcome)


def _key(number: int, index: int) -> str:
    """Return the name of the study attribute that holds a repeat's outcome; older studies use the same name."""
    return f"rerun-{number}-{index}"
