"""The ledger of a search: an Optuna study on disk that knows every trial's settings, state and values.

Everything that a search must not lose is here, with the MLflow run ids; Ray Tune's own snapshots are not needed. A
study without `--study-url` is a journal file in the study's folder, next to the lock that keeps a second driver out.
"""

import fcntl
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import FloatDistribution
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from raygenre.search.config import SearchConfig
from raygenre.search.space import first_setting
from raygenre.splits import Split

_ID, _CONFIG, _SPLIT, _FAILURE = "id", "config", "split", "failure"
RUN = "mlflow_run_id"
_OWN_FILES = ("lock", "journal.log", "journal.log.lock")


class StudyError(ValueError):
    """A study cannot be opened as asked; the message says what to do."""


class Ledger:
    """One study, open for one driver.

    Attributes:
        name: of the study.
        id: of the study, unlike that of any other of the same name.
        folder: of the study, for training states and finished classifiers.
        config: what the search was asked to do.
        split: its tracks.
    """

    def __init__(self, study: Study, folder: Path, lock: int) -> None:
        self.name = study.study_name
        self.folder = folder
        self.study = study
        self.id: str = study.user_attrs[_ID]
        self.config = SearchConfig.from_json(study.user_attrs[_CONFIG])
        self.split = Split.from_json(study.user_attrs[_SPLIT])
        self._lock = lock

    @classmethod
    def create(cls, studies: Path, name: str, *, config: SearchConfig, split: Split, url: str | None) -> "Ledger":
        """Begin a study.

        Raises:
            StudyError: the name is taken or unfit for a folder, or another driver works in its folder.
        """
        check_name(name)
        folder = studies / name
        lock = _locked(folder)
        study = optuna.create_study(
            study_name=name, storage=_storage(folder, url), direction=StudyDirection.MINIMIZE, load_if_exists=True
        )
        # A study without its configuration is one whose driver died as it was begun.
        leftovers = sorted(path.name for path in folder.iterdir() if path.name not in _OWN_FILES)
        if _CONFIG in study.user_attrs or leftovers:
            os.close(lock)
            found = f"; its folder {folder} holds {', '.join(leftovers)}" if leftovers else ""
            raise StudyError(f"the study {name} is there already{found}; go on with --resume, or name another")
        study.set_user_attr(_ID, uuid.uuid4().hex)
        study.set_user_attr(_SPLIT, split.to_json())
        study.set_user_attr(_CONFIG, config.to_json())
        return cls(study, folder, lock)

    @classmethod
    def open(cls, studies: Path, name: str, *, url: str | None) -> "Ledger":
        """Go on with a study.

        Raises:
            StudyError: there is no such study, or another driver works on it.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        known = sorted(path.name for path in studies.glob("*") if path.is_dir())
        if name not in known:
            raise StudyError(f"there is no study {name} in {studies}; known: {', '.join(known) or 'none'}")
        lock = _locked(studies / name)
        try:
            study = optuna.load_study(study_name=name, storage=_storage(studies / name, url))
            return cls(study, studies / name, lock)
        except KeyError as error:
            os.close(lock)
            raise StudyError(f"the study {name} was never begun; run it without --resume") from error

    def extend(self, trials: int) -> None:
        """Raise the number of trials to reach.

        Raises:
            StudyError: fewer than were asked for before.
        """
        if trials < self.config.trials:
            raise StudyError(f"the study {self.name} has {self.config.trials} trials; --trials can only raise that")
        self.config = SearchConfig(**{**json.loads(self.config.to_json()), "trials": trials})
        self.study.set_user_attr(_CONFIG, self.config.to_json())

    def close(self) -> None:
        """Let another driver in."""
        os.close(self._lock)

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials that were begun, in order."""
        return [trial for trial in self.study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]

    def unfinished(self) -> list[FrozenTrial]:
        """Trials that a driver before this one left running."""
        return [trial for trial in self.trials if trial.state == TrialState.RUNNING]

    def complete_draws(self, sampler: BaseSampler, space: Mapping[str, FloatDistribution]) -> None:
        """Draw what is missing of the settings of trials that a driver left in the middle of `begin`."""
        self.study.sampler = sampler
        for frozen in self.unfinished():
            if frozen.params.keys() != space.keys():
                trial = Trial(self.study, frozen._trial_id)
                for name, distribution in space.items():
                    trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)

    def top(self, k: int) -> list[FrozenTrial]:
        """The k best complete trials, best first; earlier ones first where they are equal."""
        complete = [trial for trial in self.trials if trial.state == TrialState.COMPLETE]
        return sorted(complete, key=lambda trial: (trial.value or 0.0, trial.number))[:k]

    def begin(self, sampler: BaseSampler, space: Mapping[str, FloatDistribution]) -> FrozenTrial:
        """Ask for the next trial's settings; the first is the setting that the project began with."""
        if not self.trials:
            self.study.enqueue_trial(asdict(first_setting(space)), skip_if_exists=True)
        self.study.sampler = sampler
        return self._trial(self.study.ask(dict(space)).number)

    def report(self, number: int, *, epoch: int, loss: float) -> None:
        """Record the validation loss of an epoch; one that is there already stays as it is."""
        trial = self._trial(number)
        if epoch not in trial.intermediate_values:
            self._storage.set_trial_intermediate_value(trial._trial_id, epoch, loss)

    def finish(self, number: int, *, failure: str | None = None) -> TrialState:
        """Tell how a trial ended, as far as its recorded epochs tell: COMPLETE with its lowest loss only when it
        had all its epochs, PRUNED when it was stopped on the way, FAIL with a reason or without any epoch.
        """
        values = self._trial(number).intermediate_values
        if failure or not values:
            self.note(number, _FAILURE, failure or "the trial ended without a single epoch")
            self.study.tell(number, state=TrialState.FAIL)
        elif max(values) < self.config.epochs:
            self.study.tell(number, state=TrialState.PRUNED)
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

    def state_folder(self, number: int) -> Path:
        """Where a trial keeps its training state."""
        return self.folder / "trials" / f"{number:04d}"

    def forget_state(self, number: int) -> None:
        """Take away the training state of a trial that will not go on."""
        shutil.rmtree(self.state_folder(number), ignore_errors=True)

    def _trial(self, number: int) -> FrozenTrial:
        return self.study.get_trials(deepcopy=False)[number]

    @property
    def _storage(self) -> BaseStorage:
        return self.study._storage


def latest_study(studies: Path) -> str:
    """Return the name of the study that was begun or resumed last.

    Raises:
        StudyError: there is none.
    """
    locks = sorted(studies.glob("*/lock"), key=lambda path: path.stat().st_mtime)
    if not locks:
        raise StudyError(f"there is no study in {studies} to resume")
    return locks[-1].parent.name


def _storage(folder: Path, url: str | None) -> BaseStorage:
    if url:
        return RDBStorage(url)
    journal = str(folder / "journal.log")
    return JournalStorage(JournalFileBackend(journal, lock_obj=JournalFileOpenLock(journal)))


def _locked(folder: Path) -> int:
    """Keep other drivers out; the lock goes with this process however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        driver = os.read(lock, 32).decode() or "unknown"
        os.close(lock)
        raise StudyError(
            f"another driver (process {driver}) works on the study {folder.name}; wait for it or end it"
        ) from error
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    return lock


def check_name(name: str) -> None:
    """Refuse what is unfit for a study's name and folder."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise StudyError(
            f"a study's name is made of letters, digits, '.', '_' and '-', at most 100 of them, not {name!r}"
        )
