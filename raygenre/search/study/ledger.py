"""The ledger of a search: an Optuna study with each trial's settings, state and values.

It contains everything that a search must not lose, including MLflow run ids, so a resumed search does not need Ray
Tune's snapshots. Without `--study-url`, the study is a journal file in its folder, next to the lock.
"""

import json
import math
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from raygenre.data.splits import Split
from raygenre.search.space import config_file
from raygenre.search.space.config import SearchConfig
from raygenre.search.space.objectives import PREFIX, is_multi_objective
from raygenre.search.space.space import Setting
from raygenre.search.study import create_or_load, ranking
from raygenre.search.study.backend import StudyError, check_name
from raygenre.search.study.create_or_load import CONFIG, ID, SPLIT, StudyHandle
from raygenre.search.study.names import check_exists
from raygenre.search.study.trial_attributes import (
    CHECKPOINT,
    ENDED_ELSEWHERE,
    EPOCH,
    EPOCH_TIMES,
    FAILURE,
    RUN,
    STATES,
    losses,
)  # fmt: skip
from raygenre.search.study.trial_index import TrialIndex
from raygenre.system.location import Location

__all__ = ["CHECKPOINT", "EPOCH_TIMES", "RUN", "STATES", "Ledger", "losses"]


class Ledger:
    """One study, open in one driver.

    Attributes:
        study: Optuna's study.
        name: name of the study.
        id: unique id; studies with the same name have different ids.
        location: the study's folder or URL.
        folder: local folder of the study, for finished classifiers and, unless the study is at a URL, training states.
        config: configuration of the search.
        split: the training, validation and test tracks.
    """

    def __init__(self, handle: StudyHandle) -> None:
        self.study = study = handle.study
        self.name = study.study_name
        self.location = handle.location
        self.folder = handle.location.folder
        self.id: str = study.user_attrs[ID]
        self.config = SearchConfig.from_json(study.user_attrs[CONFIG])
        self.split = Split.from_json(study.user_attrs[SPLIT])
        self._handle = handle
        self._reported: dict[int, dict[int, float]] = {}  # report times of each running trial, by epoch
        self._index, self._ids = TrialIndex(epochs=self.config.epochs), dict[int, int]()  # Optuna's ids, by number

    @classmethod
    def create(cls, studies: Location, name: str, *, config: SearchConfig, split: Split, url: str | None) -> "Ledger":
        """Create a study.

        Raises:
            StudyError: the name is taken or invalid, the database cannot be used, or the study is already open.
        """
        check_name(name)
        return cls(create_or_load.create_study(studies / name, config=config, split=split, url=url))

    @classmethod
    def open(cls, studies: Location, name: str, *, url: str | None) -> "Ledger":
        """Open an existing study.

        Raises:
            StudyError: the study does not exist, or is open in another driver.
        """
        check_exists(studies, name)
        return cls(create_or_load.load_study(studies / name, url=url))

    def extend(self, trials: int) -> None:
        """Increase the search's number of trials.

        Raises:
            StudyError: the new number is lower than the old one.
        """
        if trials < self.config.trials:
            raise StudyError(f"the study {self.name} has {self.config.trials} trials; --trials can only increase it")
        self.reconfigure(trials=trials)

    def reconfigure(self, **fields: object) -> None:
        """Change fields of the configuration; see `raygenre.search.study.study_attributes.set_limits`."""
        self.config = SearchConfig(**{**json.loads(self.config.to_json()), **fields})
        config_file.save(self.config, self.folder)
        self.save()
        self.study.set_user_attr(CONFIG, self.config.to_json())

    def close(self) -> None:
        """Release the study, so that another driver can open it."""
        self._handle.locks.close()

    def save(self) -> None:
        """Upload the files that this driver has changed in the study's folder, if the study is at a URL.

        Call this before recording in the study that a step is done, because a later driver will not repeat the step.

        Raises:
            OSError: the store cannot be written to.
        """
        self._handle.copy.upload()

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials that this search has started, in order; trials of other programs are left out."""
        return self._index.own(self.study.get_trials(deepcopy=False))

    @property
    def others(self) -> list[FrozenTrial]:
        """The trials that this search did not start or has not started yet."""
        return self._index.others(self.study.get_trials(deepcopy=False))

    def unfinished(self) -> list[FrozenTrial]:
        """Return the trials that are still running or were left running by an earlier driver."""
        return [trial for trial in self.trials if trial.state == TrialState.RUNNING]

    def top(self, k: int) -> list[FrozenTrial]:
        """Return the k best completed trials, best first; if two are equally good, the earlier one comes first.

        With several objectives, these are trials on the Pareto front, sorted by the first objective.
        """
        if is_multi_objective(self.config.objectives):
            return self.front()[:k]
        return self._index.best(self.study.get_trials(deepcopy=False), k)

    def front(self) -> list[FrozenTrial]:
        """Return the trials on the Pareto front, sorted by the first objective, best first."""
        return ranking.pareto_front(ranking.complete(self.trials, epochs=self.config.epochs), self.study.directions)

    def lowest_loss(self) -> float | None:
        """Return the lowest validation loss among all completed trials; None if there are none."""
        return self._index.lowest_loss(self.study.get_trials(deepcopy=False))

    def start_trial(self, sampler: BaseSampler, space: Mapping[str, BaseDistribution]) -> FrozenTrial:
        """Start the next trial: an enqueued trial, the next start point or a setting that the sampler chooses.

        Every trial is first enqueued with the attribute `CHECKPOINT`, which distinguishes it from the trials of other
        programs even if the driver dies immediately afterwards.
        """
        if enqueued := self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self.note_checkpoint(enqueued[0].number)
        else:
            started, starts = len(self.trials), self.config.first_points
            point = starts[started] if started < len(starts) else {}
            self.study.enqueue_trial(point, user_attrs={CHECKPOINT: STATES})
        self.study.sampler = sampler
        number = self.study.ask(dict(space)).number
        self.note_checkpoint(number)
        return self.trial(number)

    def report(self, number: int, *, epoch: int, loss: float) -> None:
        """Record the validation loss of an epoch unless a loss is already recorded for it or the trial has ended."""
        trial = self.trial(number)
        if epoch in losses(trial):
            return
        self._reported.setdefault(number, {})[epoch] = round(time.time(), 1)
        if is_multi_objective(self.config.objectives):  # for several objectives, Optuna stores no losses of epochs
            self.note(number, f"{EPOCH}{epoch:04d}", loss)
            return
        with suppress(UpdateFinishedTrialError):
            self.study._storage.set_trial_intermediate_value(trial._trial_id, epoch, loss)

    def finish(
        self, number: int, *, failure: str | None = None, measured: Mapping[str, float] | None = None
    ) -> TrialState:
        """End a trial, and return its state.

        The state is FAIL if there is a `failure` or no epoch was reported, PRUNED if only some epochs were reported,
        and otherwise COMPLETE, with the lowest loss as its value. A trial that another program has ended is left
        unchanged.

        Args:
            failure: why the trial failed.
            measured: values of the objectives in the trial's last report, if there are several objectives.
        """
        trial, times = self.trial(number), self._reported.pop(number, None)
        if trial.state.is_finished():
            return trial.state
        values, tell = losses(trial), partial(self.study.tell, number, skip_if_finished=True)
        if times:
            self.note(number, EPOCH_TIMES, times)
        if failure or not values:
            self.note(number, FAILURE, failure or "the trial ended before its first epoch")
            tell(state=TrialState.FAIL)
        elif max(values) < self.config.epochs:
            tell(state=TrialState.PRUNED)
        elif is_multi_objective(self.config.objectives):
            tell([float((measured or {})[PREFIX + name]) for name in self.config.objectives])
        else:
            tell(min(values.values()))
        return self.state(number)

    def note(self, number: int, key: str, value: Any) -> None:
        """Set an attribute of a trial, unless the trial has ended."""
        with suppress(UpdateFinishedTrialError):
            self.study._storage.set_trial_user_attr(self.trial(number)._trial_id, key, value)

    def state(self, number: int) -> TrialState:
        """Return the state of a trial."""
        return self.trial(number).state

    def failure(self, number: int) -> str | None:
        """Return why a trial failed; None if it did not."""
        trial = self.trial(number)
        return trial.user_attrs.get(FAILURE, ENDED_ELSEWHERE if trial.state == TrialState.FAIL else None)

    def setting(self, number: int) -> Setting:
        """Return a trial's setting, including fixed values."""
        return self.config.setting(self.trial(number).params)

    def loss(self, number: int) -> float:
        """Return the lowest validation loss of a trial; infinity before its first epoch."""
        return min(losses(self.trial(number)).values(), default=math.inf)

    def trial_run(self, number: int) -> str | None:
        """Return a trial's MLflow run id; None until MLflow has created the run."""
        run_id: str | None = self.trial(number).user_attrs.get(RUN) or self.study.user_attrs.get(f"{RUN}/{number}")
        return run_id

    def checkpoint_location(self, number: int) -> Location:
        """Return the location of a trial's training state; see `raygenre.search.study.checkpoint_retention`."""
        return self.location / STATES / f"{number:04d}"

    def note_checkpoint(self, number: int) -> None:
        """Mark a trial as belonging to this search, and record the path of its training state."""
        self.note(number, CHECKPOINT, f"{STATES}/{number:04d}")

    def trial(self, number: int) -> FrozenTrial:
        """Return the trial with this number."""
        if number not in self._ids:
            self._ids = {trial.number: trial._trial_id for trial in self.study.get_trials(deepcopy=False)}
        return self.study._storage.get_trial(self._ids[number])
