"""Several Optuna storages are shown as one."""

import optuna
import pytest
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import TrialState

from raygenre.search.study.dashboard_storage import MAX_LENGTH, DashboardStorage, ReadOnlyStudyError

NAMES = ("spring", "summer", "autumn")


@pytest.fixture
def storages() -> list[BaseStorage]:
    """Storages with one study each; all studies have the same ID, one completed trial and one running trial."""
    storages: list[BaseStorage] = []
    for number, name in enumerate(NAMES):
        storage = InMemoryStorage()
        study = optuna.create_study(storage=storage, study_name=name)
        study.set_user_attr("split", name * 100)
        study.set_user_attr("fits", name)
        study.set_user_attr("list", list(range(100)))
        trial = study.ask()
        trial.suggest_float("dropout", 0, 1)
        study.tell(trial, number)
        study.ask()
        storages.append(storage)
    return storages


@pytest.fixture
def combined(storages: list[BaseStorage]) -> DashboardStorage:
    """The combined storage, which discovers one more storage each time the studies are listed."""
    remaining = list(storages)
    return DashboardStorage(lambda: [remaining.pop(0)] if remaining else [])


@pytest.fixture
def shown(combined: DashboardStorage) -> DashboardStorage:
    """The combined storage after all storages have been discovered."""
    for _ in NAMES:
        combined.get_all_studies()
    return combined


def test_new_storages_are_found_when_studies_are_listed(combined: DashboardStorage) -> None:
    for number in (1, 2, 3, 3):
        assert [study.study_name for study in combined.get_all_studies()] == list(NAMES[:number])


def test_studies_and_trials_have_ids_of_their_own(shown: DashboardStorage) -> None:
    ids = {shown.get_study_id_from_name(name) for name in NAMES}
    trials = [trial for study_id in ids for trial in shown.get_all_trials(study_id)]
    assert len(ids) == 3
    assert len({trial._trial_id for trial in trials}) == 6
    for trial in trials:
        assert shown.get_trial(trial._trial_id) == trial
    with pytest.raises(KeyError):
        shown.get_study_name_from_id(9 << 32)


def test_optuna_reads_a_study_as_in_its_own_storage(shown: DashboardStorage, storages: list[BaseStorage]) -> None:
    for number, name in enumerate(NAMES):
        study = optuna.load_study(study_name=name, storage=shown)
        own = optuna.load_study(study_name=name, storage=storages[number])
        assert study.best_value == number
        assert study.best_params == own.best_params
        assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.RUNNING]
        assert study.directions == own.directions


def test_trials_are_changed_in_their_own_storage(shown: DashboardStorage, storages: list[BaseStorage]) -> None:
    study = optuna.load_study(study_name="summer", storage=shown)
    study.tell(1, state=TrialState.FAIL)
    study.enqueue_trial({"dropout": 0.5})
    shown.set_trial_user_attr(study.trials[2]._trial_id, "note", "good")
    shown.set_study_system_attr(study._study_id, "dashboard:note", "x" * 1000)
    own = optuna.load_study(study_name="summer", storage=storages[1])
    assert [trial.state.name for trial in own.trials] == ["COMPLETE", "FAIL", "WAITING"]
    assert own.trials[2].user_attrs["note"] == "good"
    assert shown.get_study_system_attrs(study._study_id)["dashboard:note"] == "x" * 1000
    assert len(optuna.load_study(study_name="spring", storage=storages[0]).trials) == 2


def test_long_attributes_of_a_study_are_shortened(shown: DashboardStorage, storages: list[BaseStorage]) -> None:
    spring, *_ = shown.get_all_studies()
    assert spring.user_attrs["fits"] == "spring"
    assert spring.user_attrs["split"] == f"{('spring' * 100)[:MAX_LENGTH]}… (600 characters)"
    assert spring.user_attrs["list"].endswith("… (390 characters)")
    assert shown.get_study_user_attrs(spring._study_id) == spring.user_attrs
    assert storages[0].get_all_studies()[0].user_attrs["split"] == "spring" * 100


def test_studies_are_neither_created_nor_deleted(shown: DashboardStorage) -> None:
    spring, *_ = shown.get_all_studies()
    with pytest.raises(ReadOnlyStudyError):
        shown.delete_study(spring._study_id)
    with pytest.raises(ReadOnlyStudyError):
        optuna.create_study(storage=shown, study_name="winter")
