"""Combines several Optuna storages into a single one for Optuna's dashboard.

Each of our studies has its own journal, but the dashboard shows only one storage. To keep the ids unique, each id is
increased by 2³² times the index of its storage, counted from 0.
"""

import copy
import json
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from raygenre.errors import RaygenreError

MAX_LENGTH = 200  # maximum length of a study's attribute; the split and the configuration are much longer

_STRIDE = 1 << 32


class ReadOnlyStudyError(RaygenreError, PermissionError):
    """The dashboard was asked to create, rename or delete a study."""


class DashboardStorage(BaseStorage):
    """The studies of several storages, with their long attributes shortened.

    Trials can be changed as in any Optuna storage. Studies cannot be created or deleted, because a study consists of
    more than its Optuna entry. They cannot be renamed either, because Optuna's dashboard renames a study by copying its
    attributes, which are shortened here.

    Args:
        find_new: returns the storages that have appeared since its last call; called whenever the studies are listed.
    """

    def __init__(self, find_new: Callable[[], Sequence[BaseStorage]]) -> None:
        self._find_new = find_new
        self._storages: list[BaseStorage] = []

    def get_all_studies(self) -> list[FrozenStudy]:
        self._storages += self._find_new()
        studies = []
        for index, storage in enumerate(self._storages):
            for study in map(copy.copy, storage.get_all_studies()):
                study._study_id += index * _STRIDE
                study.user_attrs = _shortened(study.user_attrs)
                studies.append(study)
        return studies

    def get_study_id_from_name(self, study_name: str) -> int:
        for study in self.get_all_studies():
            if study.study_name == study_name:
                return study._study_id
        raise KeyError(study_name)

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        raise ReadOnlyStudyError("the dashboard cannot create studies; use `raygenre tune`")

    def delete_study(self, study_id: int) -> None:
        raise ReadOnlyStudyError("the dashboard cannot delete studies; delete the study's folder")

    def get_study_name_from_id(self, study_id: int) -> str:
        storage, study = self._locate(study_id)
        return storage.get_study_name_from_id(study)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        storage, study = self._locate(study_id)
        return storage.get_study_directions(study)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        storage, study = self._locate(study_id)
        return _shortened(storage.get_study_user_attrs(study))

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        storage, study = self._locate(study_id)
        return storage.get_study_system_attrs(study)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        storage, study = self._locate(study_id)
        storage.set_study_user_attr(study, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        storage, study = self._locate(study_id)
        storage.set_study_system_attr(study, key, value)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        storage, study = self._locate(study_id)
        return [self._renumbered(trial, study_id) for trial in storage.get_all_trials(study, deepcopy, states)]

    def get_trial(self, trial_id: int) -> FrozenTrial:
        storage, trial = self._locate(trial_id)
        return self._renumbered(storage.get_trial(trial), trial_id)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        storage, study = self._locate(study_id)
        return storage.create_new_trial(study, template_trial) + study_id - study

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        storage, trial = self._locate(trial_id)
        storage.set_trial_param(trial, param_name, param_value_internal, distribution)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        storage, trial = self._locate(trial_id)
        return storage.set_trial_state_values(trial, state, values)

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        storage, trial = self._locate(trial_id)
        storage.set_trial_intermediate_value(trial, step, intermediate_value)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        storage, trial = self._locate(trial_id)
        storage.set_trial_user_attr(trial, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        storage, trial = self._locate(trial_id)
        storage.set_trial_system_attr(trial, key, value)

    def _locate(self, number: int) -> tuple[BaseStorage, int]:
        """Return the storage that contains a study or trial, and the id that this storage uses for it."""
        index, own = divmod(number, _STRIDE)
        if index >= len(self._storages):
            raise KeyError(number)
        return self._storages[index], own

    @staticmethod
    def _renumbered(trial: FrozenTrial, neighbour: int) -> FrozenTrial:
        """Return a copy of a trial that has the unique id instead of the storage's own id.

        Args:
            neighbour: the unique id of any study or trial in the same storage.
        """
        renumbered = copy.copy(trial)
        renumbered._trial_id += neighbour - neighbour % _STRIDE
        return renumbered


def _shortened(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _short(value) for name, value in attributes.items()}


def _short(value: Any) -> Any:
    text = value if isinstance(value, str) else json.dumps(value)
    return value if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]}… ({len(text)} characters)"
