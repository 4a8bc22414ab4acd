"""Reads the best settings of earlier studies, without changing or locking them."""

from dataclasses import dataclass

import optuna
from sqlalchemy.exc import SQLAlchemyError

from raygenre.search.space.config import SearchConfig
from raygenre.search.space.objectives import is_multi_objective
from raygenre.search.space.space import Value
from raygenre.search.study import ranking
from raygenre.search.study.backend import StudyError, storage
from raygenre.search.study.create_or_load import CONFIG
from raygenre.search.study.names import JOURNAL, check_exists
from raygenre.search.study.trial_attributes import is_own
from raygenre.system.location import Location


@dataclass(frozen=True)
class EarlierSetting:
    """One of the best settings of an earlier study.

    Attributes:
        study: name of the study.
        trial: number of the trial.
        values: all hyperparameters, searched and fixed.
    """

    study: str
    trial: int
    values: dict[str, Value]


def best_settings(studies: Location, name: str, *, k: int, url: str | None) -> list[EarlierSetting]:
    """Return the k best settings of a study, best first; with several objectives, those on its Pareto front.

    Args:
        url: URL of the study's database; not used if the trials are stored in the study's folder.

    Raises:
        StudyError: the study does not exist, cannot be read, or has no completed trial.
    """
    check_exists(studies, name)
    folder = (studies / name).folder
    own_journal = (folder / JOURNAL).exists()
    if not own_journal and not url:
        raise StudyError(f"--from {name}: {studies / name} has no trials; if they are in a database, use --study-url")
    try:
        study = optuna.load_study(study_name=name, storage=storage(folder, None if own_journal else url))
        attributes, trials = study.user_attrs, study.get_trials(deepcopy=False)
    except (KeyError, SQLAlchemyError) as error:
        raise StudyError(f"--from {name}: the database of --study-url does not contain this study") from error
    if CONFIG not in attributes:
        raise StudyError(f"--from {name}: the creation of this study was interrupted; omit this --from")
    config = SearchConfig.from_json(attributes[CONFIG])
    complete = ranking.complete(filter(is_own, trials), epochs=config.epochs)
    if not complete:
        raise StudyError(f"--from {name}: none of its trials is complete; omit this --from")
    front = is_multi_objective(config.objectives)
    best = ranking.pareto_front(complete, study.directions) if front else ranking.by_loss(complete)
    return [
        EarlierSetting(name, trial.number, {**config.fixed, **trial.params})  # Optuna annotates params as Any
        for trial in best[:k]
    ]
