"""The ledger of a search: an Optuna study on disk that knows every trial's settings, state and values.

Everything that a search must not lose is here, with the MLflow run ids; Ray Tune's own snapshots are not needed. A
study without `--study-url` is a journal file in the study's folder, next to the lock that keeps a second driver out.
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
from raygenre.search.space.objectives import PREFIX, several
from raygenre.search.space.space import Setting
from raygenre.search.study import create_or_load
from raygenre.search.study.backend import JOURNAL, StudyError, check_name
from raygenre.search.study.create_or_load import CONFIG, ID, SPLIT, StudyHandle
from raygenre.system.location import Location

_FAILURE = "failure"
_EPOCH = "epoch-"  # attributes with the losses of a search for several objectives
STATES = "trials"
"""Folder of the trials' training states."""
RUN = "mlflow_run_id"
EPOCH_TIMES = "epoch_times"
"""Trial attribute: when its epochs were reported, s since 1970; without those before its driver was killed."""
CHECKPOINT = "checkpoint"
"""Trial attribute: where its training state is, within the study's folder. Tag of a training's run: its path or URL."""


class Ledger:
    """One study, open for one driver.

    Attributes:
        name: of the study.
        id: of the study, unlike that of any other of the same name.
        place: where it is kept.
        folder: of the study, for finished classifiers and, unless it is kept at a URL, training states.
        config: what the search was asked to do.
        split: its tracks.
    """

    def __init__(self, opened: StudyHandle) -> None:
        self.study = study = opened.study
        self.name = study.study_name
        self.place = opened.place
        self.folder = opened.place.folder
        self.id: str = study.user_attrs[ID]
        self.config = SearchConfig.from_json(study.user_attrs[CONFIG])
        self.split = Split.from_json(study.user_attrs[SPLIT])
        self._opened = opened
        self._heard: dict[int, dict[int, float]] = {}  # when epochs of running trials were reported

    @property
    def in_database(self) -> bool:
        """Whether the study is kept in a database, and not in its folder."""
        return not (self.folder / JOURNAL).exists()

    @classmethod
    def create(cls, studies: Location, name: str, *, config: SearchConfig, split: Split, url: str | None) -> "Ledger":
        """Begin a study.

        Raises:
            StudyError: the name is taken or unfit for a folder, the database cannot be used, or another driver works
                in the study's folder.
        """
        check_name(name)
        return cls(create_or_load.create_study(studies / name, config=config, split=split, url=url))

    @classmethod
    def open(cls, studies: Location, name: str, *, url: str | None) -> "Ledger":
        """Go on with a study.

        Raises:
            StudyError: there is no such study, or another driver works on it.
        """
        known = studies.names()
        if name not in known:
            raise StudyError(f"there is no study {name} in {studies}; known: {', '.join(known) or 'none'}")
        return cls(create_or_load.load_study(studies / name, url=url))

    def extend(self, trials: int) -> None:
        """Raise the number of trials to reach.

        Raises:
            StudyError: fewer than were asked for before.
        """
        if trials < self.config.trials:
            raise StudyError(f"the study {self.name} has {self.config.trials} trials; --trials can only raise that")
        self.config = SearchConfig(**{**json.loads(self.config.to_json()), "trials": trials})
        config_file.save(self.config, self.folder)
        self.keep()
        self.study.set_user_attr(CONFIG, self.config.to_json())

    def close(self) -> None:
        """Let another driver in."""
        self._opened.locks.close()

    def keep(self) -> None:
        """Have what this driver has written into the study's folder outlive its machine.

        To be called before the study itself is told that something is done: no later driver would do it again.

        Raises:
            OSError: the store of the study does not take it.
        """
        self._opened.copy.keep()

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials that were begun, in order."""
        return [trial for trial in self.study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]

    def unfinished(self) -> list[FrozenTrial]:
        """Trials that a driver before this one left running."""
        return [trial for trial in self.trials if trial.state == TrialState.RUNNING]

    def complete_draws(self, sampler: BaseSampler, space: Mapping[str, BaseDistribution]) -> None:
        """Draw what is missing of the settings of trials that a driver left in the middle of `begin`."""
        self.study.sampler = sampler
        for frozen in self.unfinished():
            self._note_checkpoint(frozen.number)
            if frozen.params.keys() != space.keys():
                trial = Trial(self.study, frozen._trial_id)
                for name, distribution in space.items():
                    trial._suggest(name, distribution)  # what `ask` calls for each of them

    def top(self, k: int) -> list[FrozenTrial]:
        """The k best complete trials, best first; earlier ones first where they are equal.

        With several objectives these are the trials of the front, by the first objective.
        """
        if several(self.config.objectives):
            return self.front()[:k]
        complete = [trial for trial in self.trials if trial.state == TrialState.COMPLETE]
        return sorted(complete, key=lambda trial: (trial.values[0], trial.number))[:k]

    def front(self) -> list[FrozenTrial]:
        """The complete trials that no other beats in every objective, best first by the first objective."""
        sign = -1 if self.study.directions[0] == StudyDirection.MAXIMIZE else 1
        return sorted(self.study.best_trials, key=lambda trial: (sign * trial.values[0], trial.number))

    def begin(self, sampler: BaseSampler, space: Mapping[str, BaseDistribution]) -> FrozenTrial:
        """Ask for the next trial's settings: the start points first, then what the sampler chooses."""
        begun, starts = len(self.trials), self.config.first_points
        if begun < len(starts) and not self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self.study.enqueue_trial(starts[begun])
        self.study.sampler = sampler
        number = self.study.ask(dict(space)).number
        self._note_checkpoint(number)
        return self._trial(number)

    def report(self, number: int, *, epoch: int, loss: float) -> None:
        """Record the validation loss of an epoch; one that is there already stays as it is."""
        trial = self._trial(number)
        if epoch in losses(trial):
            return
        self._heard.setdefault(number, {})[epoch] = round(time.time(), 1)
        if several(self.config.objectives):  # Optuna has no intermediate values there
            self.note(number, f"{_EPOCH}{epoch:04d}", loss)
        else:
            self._storage.set_trial_intermediate_value(trial._trial_id, epoch, loss)

    def finish(
        self, number: int, *, failure: str | None = None, measured: Mapping[str, float] | None = None
    ) -> TrialState:
        """Tell how a trial ended, as far as its recorded epochs tell: COMPLETE with its lowest loss only when it
        had all its epochs, PRUNED when it was stopped on the way, FAIL with a reason or without any epoch.

        Args:
            measured: what the trial's last report had, with the values of several objectives.
        """
        values = losses(self._trial(number))
        if heard := self._heard.pop(number, None):
            self.note(number, EPOCH_TIMES, heard)
        if failure or not values:
            self.note(number, _FAILURE, failure or "the trial ended without a single epoch")
            self.study.tell(number, state=TrialState.FAIL)
        elif max(values) < self.config.epochs:
            self.study.tell(number, state=TrialState.PRUNED)
        elif several(self.config.objectives):
            self.study.tell(number, [float((measured or {})[PREFIX + name]) for name in self.config.objectives])
        else:
            self.study.tell(number, min(values.values()))
        return self._trial(number).state

    def note(self, number: int, key: str, value: Any) -> None:
        """Attach a fact to a trial."""
        self._storage.set_trial_user_attr(self._trial(number)._trial_id, key, value)

    def state(self, number: int) -> TrialState:
        """How a trial stands."""
        return self._trial(number).state

    def failure(self, number: int) -> str | None:
        """Why a trial failed."""
        return self._trial(number).user_attrs.get(_FAILURE)

    def setting(self, number: int) -> Setting:
        """The whole setting of a trial, its fixed values too."""
        return self.config.setting(self._trial(number).params)

    def loss(self, number: int) -> float:
        """The lowest validation loss of a trial."""
        return min(losses(self._trial(number)).values())

    def trial_run(self, number: int) -> str | None:
        """MLflow run id of a trial, once MLflow knows it."""
        run_id: str | None = self._trial(number).user_attrs.get(RUN) or self.study.user_attrs.get(f"{RUN}/{number}")
        return run_id

    def recall(self, key: str, make: Callable[[], Any]) -> Any:
        """A fact about the whole search, JSON-like; `make` finds it out the first time."""
        attrs = self.study.user_attrs
        if key not in attrs:
            self.study.set_user_attr(key, make())
            attrs = self.study.user_attrs
        return attrs[key]

    def state_place(self, number: int) -> Location:
        """Where a trial keeps its training state, see `raygenre.search.study.checkpoint_retention`."""
        return self.place / STATES / f"{number:04d}"

    def _note_checkpoint(self, number: int) -> None:
        self.note(number, CHECKPOINT, f"{STATES}/{number:04d}")

    def _trial(self, number: int) -> FrozenTrial:
        return self.study.get_trials(deepcopy=False)[number]

    @property
    def _storage(self) -> BaseStorage:
        return self.study._storage


def losses(trial: FrozenTrial) -> dict[int, float]:
    """The validation loss of each epoch of a trial, in a study of one objective or of several."""
    noted = {int(key.removeprefix(_EPOCH)): loss for key, loss in trial.user_attrs.items() if key.startswith(_EPOCH)}
    return trial.intermediate_values or dict(sorted(noted.items()))
