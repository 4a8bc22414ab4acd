"""The ledger of a search: an Optuna study with each trial's settings, state and values.

It holds everything that a search must not lose, including MLflow run ids, so a resumed search does not need Ray Tune's
snapshots. Without `--study-url`, the study is a journal file in its folder, next to the lock.
"""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from raygenre.data.splits import Split
from raygenre.search.space import config_file
from raygenre.search.space.config import SearchConfig
from raygenre.search.space.objectives import PREFIX, is_multi_objective
from raygenre.search.space.space import Setting
from raygenre.search.study import create_or_load
from raygenre.search.study.backend import StudyError, check_name
from raygenre.search.study.create_or_load import CONFIG, ID, SPLIT, StudyHandle
from raygenre.search.study.names import JOURNAL, check_exists
from raygenre.system.location import Location

_FAILURE = "failure"
_EPOCH = "epoch-"  # prefix of the attributes that hold the losses when there are several objectives
STATES = "trials"
"""Folder of the trials' training states."""
RUN = "mlflow_run_id"
"""Attribute of a trial or the study: its MLflow run id."""
EPOCH_TIMES = "epoch_times"
"""Trial attribute: when each epoch was reported, in s since 1970; epochs before a driver was killed are missing."""
CHECKPOINT = "checkpoint"
"""Trial attribute: path of the training state in the study's folder. Tag of a training run: its full path or URL."""


class Ledger:
    """One study, open in one driver.

    Attributes:
        study: Optuna's study.
        name: name of the study.
        id: unique id; studies of the same name have different ids.
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
        self._reported: dict[int, dict[int, float]] = {}  # times of reports, by running trial and by epoch

    @property
    def in_database(self) -> bool:
        """Whether the study is in a database rather than in its folder."""
        return not (self.folder / JOURNAL).exists()

    @classmethod
    def create(cls, studies: Location, name: str, *, config: SearchConfig, split: Split, url: str | None) -> "Ledger":
        """Create a study.

        Raises:
            StudyError: the name is taken or invalid, the database cannot be used, or another driver has the study open.
        """
        check_name(name)
        return cls(create_or_load.create_study(studies / name, config=config, split=split, url=url))

    @classmethod
    def open(cls, studies: Location, name: str, *, url: str | None) -> "Ledger":
        """Open an existing study.

        Raises:
            StudyError: the study does not exist, or another driver has it open.
        """
        check_exists(studies, name)
        return cls(create_or_load.load_study(studies / name, url=url))

    def extend(self, trials: int) -> None:
        """Raise the number of trials of the search.

        Raises:
            StudyError: the new number is lower than the old one.
        """
        if trials < self.config.trials:
            raise StudyError(f"the study {self.name} has {self.config.trials} trials; --trials can only raise it")
        self.config = SearchConfig(**{**json.loads(self.config.to_json()), "trials": trials})
        config_file.save(self.config, self.folder)
        self.save()
        self.study.set_user_attr(CONFIG, self.config.to_json())

    def close(self) -> None:
        """Release the study, so that another driver can open it."""
        self._handle.locks.close()

    def save(self) -> None:
        """Upload the files that this driver has changed in the study's folder, if the study is at a URL.

        Call it before recording in the study that a step is done, because a later driver will not repeat the step.

        Raises:
            OSError: the store cannot be written.
        """
        self._handle.copy.upload()

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials that have been started, in order."""
        return [trial for trial in self.study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]

    def unfinished(self) -> list[FrozenTrial]:
        """Return the trials that are still running or were left running by an earlier driver."""
        return [trial for trial in self.trials if trial.state == TrialState.RUNNING]

    def complete_draws(self, sampler: BaseSampler, space: Mapping[str, BaseDistribution]) -> None:
        """Draw the missing values of trials whose driver died during `start_trial`."""
        self.study.sampler = sampler
        for frozen in self.unfinished():
            self._note_checkpoint(frozen.number)
            if frozen.params.keys() != space.keys():
                trial = Trial(self.study, frozen._trial_id)
                for name, distribution in space.items():
                    trial._suggest(name, distribution)  # `Study.ask` makes the same call for each parameter

    def top(self, k: int) -> list[FrozenTrial]:
        """Return the k best complete trials, best first; if two are equally good, the earlier comes first.

        With several objectives, these are trials on the Pareto front, sorted by the first objective.
        """
        if is_multi_objective(self.config.objectives):
            return self.front()[:k]
        complete = [trial for trial in self.trials if trial.state == TrialState.COMPLETE]
        return sorted(complete, key=lambda trial: (trial.values[0], trial.number))[:k]

    def front(self) -> list[FrozenTrial]:
        """Return the trials on the Pareto front, sorted by the first objective, best first."""
        sign = -1 if self.study.directions[0] == StudyDirection.MAXIMIZE else 1
        return sorted(self.study.best_trials, key=lambda trial: (sign * trial.values[0], trial.number))

    def start_trial(self, sampler: BaseSampler, space: Mapping[str, BaseDistribution]) -> FrozenTrial:
        """Start the next trial with the next start point or, if none is left, a setting that the sampler chooses."""
        started, starts = len(self.trials), self.config.first_points
        if started < len(starts) and not self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self.study.enqueue_trial(starts[started])
        self.study.sampler = sampler
        number = self.study.ask(dict(space)).number
        self._note_checkpoint(number)
        return self._trial(number)

    def report(self, number: int, *, epoch: int, loss: float) -> None:
        """Record the validation loss of an epoch unless a loss is already recorded for it."""
        trial = self._trial(number)
        if epoch in losses(trial):
            return
        self._reported.setdefault(number, {})[epoch] = round(time.time(), 1)
        if is_multi_objective(self.config.objectives):  # Optuna supports no intermediate values here
            self.note(number, f"{_EPOCH}{epoch:04d}", loss)
        else:
            self._storage.set_trial_intermediate_value(trial._trial_id, epoch, loss)

    def finish(
        self, number: int, *, failure: str | None = None, measured: Mapping[str, float] | None = None
    ) -> TrialState:
        """End a trial, and return its state.

        The state is FAIL if there is a `failure` or no epoch was reported, PRUNED if only some epochs were reported,
        and otherwise COMPLETE, with the lowest loss as its value.

        Args:
            failure: why the trial failed.
            measured: if there are several objectives, their values in the trial's last report.
        """
        values = losses(self._trial(number))
        if times := self._reported.pop(number, None):
            self.note(number, EPOCH_TIMES, times)
        if failure or not values:
            self.note(number, _FAILURE, failure or "the trial ended before its first epoch")
            self.study.tell(number, state=TrialState.FAIL)
        elif max(values) < self.config.epochs:
            self.study.tell(number, state=TrialState.PRUNED)
        elif is_multi_objective(self.config.objectives):
            self.study.tell(number, [float((measured or {})[PREFIX + name]) for name in self.config.objectives])
        else:
            self.study.tell(number, min(values.values()))
        return self._trial(number).state

    def note(self, number: int, key: str, value: Any) -> None:
        """Set an attribute of a trial."""
        self._storage.set_trial_user_attr(self._trial(number)._trial_id, key, value)

    def state(self, number: int) -> TrialState:
        """Return the state of a trial."""
        return self._trial(number).state

    def failure(self, number: int) -> str | None:
        """Return why a trial failed."""
        return self._trial(number).user_attrs.get(_FAILURE)

    def setting(self, number: int) -> Setting:
        """Return a trial's setting, including fixed values."""
        return self.config.setting(self._trial(number).params)

    def loss(self, number: int) -> float:
        """Return the lowest validation loss of a trial."""
        return min(losses(self._trial(number)).values())

    def trial_run(self, number: int) -> str | None:
        """Return a trial's MLflow run id; None until MLflow has created the run."""
        run_id: str | None = self._trial(number).user_attrs.get(RUN) or self.study.user_attrs.get(f"{RUN}/{number}")
        return run_id

    def get_or_compute(self, key: str, compute: Callable[[], Any]) -> Any:
        """Return a JSON-compatible attribute of the study, which the first call computes and stores."""
        attrs = self.study.user_attrs
        if key not in attrs:
            self.study.set_user_attr(key, compute())
            attrs = self.study.user_attrs
        return attrs[key]

    def checkpoint_location(self, number: int) -> Location:
        """Return where a trial stores its training state; see `raygenre.search.study.checkpoint_retention`."""
        return self.location / STATES / f"{number:04d}"

    def _note_checkpoint(self, number: int) -> None:
        self.note(number, CHECKPOINT, f"{STATES}/{number:04d}")

    def _trial(self, number: int) -> FrozenTrial:
        return self.study.get_trials(deepcopy=False)[number]

    @property
    def _storage(self) -> BaseStorage:
        return self.study._storage


def losses(trial: FrozenTrial) -> dict[int, float]:
    """Return the validation losses of a trial by epoch, whether it has one objective or several."""
    noted = {int(key.removeprefix(_EPOCH)): loss for key, loss in trial.user_attrs.items() if key.startswith(_EPOCH)}
    return trial.intermediate_values or dict(sorted(noted.items()))
