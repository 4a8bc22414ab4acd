"""The progress of a study, which any process can read from its ledger without a lock."""

import optuna
from optuna.study import Study as OptunaStudy
from optuna.trial import TrialState

from raygenre.search.space.config import SearchConfig
from raygenre.search.study.backend import STORAGE_ERRORS
from raygenre.search.study.backend import storage as optuna_storage
from raygenre.search.study.create_or_load import CONFIG, ID
from raygenre.search.study.names import JOURNAL, StudyError
from raygenre.search.study.trial_attributes import FAILURE, is_own
from raygenre.studies.study import Progress
from raygenre.system.location import Location

_ERRORS = 3  # number of failures to report


class LedgerReader:
    """Reads one study's ledger.

    Args:
        location: the study's folder or URL.
        url: URL of the database that contains the study's trials, if they are not in the folder.
    """

    def __init__(self, location: Location, url: str | None) -> None:
        self._location = location
        self._url = url
        self._study: OptunaStudy | None = None

    @property
    def study_id(self) -> str:
        """The unique id of the study; empty if it has not been created yet or cannot be read at the moment."""
        try:
            study = self._load()
            return str(study.user_attrs.get(ID, "")) if study else ""
        except (StudyError, OSError, *STORAGE_ERRORS):
            return ""

    def progress(self) -> Progress | None:
        """Return the study's progress; None if it has not been created yet or cannot be read at the moment."""
        try:
            study = self._load()
            if study is None or CONFIG not in (attributes := study.user_attrs):
                return None
            trials = [trial for trial in study.get_trials(deepcopy=False) if is_own(trial)]
        except (StudyError, OSError, *STORAGE_ERRORS):
            return None
        config = SearchConfig.from_json(attributes[CONFIG])
        complete = [trial.values[0] for trial in trials if trial.state == TrialState.COMPLETE and trial.values]
        is_lowest_best = study.directions[0] == optuna.study.StudyDirection.MINIMIZE
        failures = [
            f"trial {trial.number}: {trial.user_attrs[FAILURE]}" for trial in trials if FAILURE in trial.user_attrs
        ]
        return Progress(
            completed=len(complete),
            pruned=sum(trial.state == TrialState.PRUNED for trial in trials),
            failed=sum(trial.state == TrialState.FAIL for trial in trials),
            total=config.trials,
            best=(min if is_lowest_best else max)(complete) if complete else None,
            objective=config.objectives[0],
            errors=tuple(failures[: -_ERRORS - 1 : -1]),
        )

    def delete(self) -> None:
        """Delete the study's trials from their database; trials in a folder are deleted with the folder."""
        if self._url and self._load():
            optuna.delete_study(
                study_name=self._location.name, storage=optuna_storage(self._location.folder, self._url)
            )

    def _load(self) -> OptunaStudy | None:
        if self._study is None:
            folder = self._location.folder
            if not self._url and not (folder / JOURNAL).exists():  # Optuna would create the file
                return None
            try:
                storage = optuna_storage(folder, self._url)
                self._study = optuna.load_study(study_name=self._location.name, storage=storage)
            except KeyError:
                return None
        return self._study
