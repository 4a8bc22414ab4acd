"""Begin a study, or take one up again: whose it is, whether it is whole, and that no other driver works on it.

The lock is a file's, so it keeps out drivers that share the storage folder; of a study that is kept at a URL it is the
database's. A study in a database also carries an id, which its folder knows: a driver with another folder is refused.
"""

import os
import uuid
from contextlib import ExitStack
from dataclasses import dataclass

import optuna
from optuna.storages import BaseStorage
from optuna.study import Study

from raygenre.data.splits import Split
from raygenre.search.space import config_file
from raygenre.search.space.config import SearchConfig
from raygenre.search.space.objectives import DIRECTIONS
from raygenre.search.space.space import SpaceError
from raygenre.search.study import database_lock
from raygenre.search.study.backend import JOURNAL, StudyError, locked, storage
from raygenre.search.study.working_copy import WorkingCopy
from raygenre.system.atomic_write import UNFINISHED
from raygenre.system.location import Location

ID, CONFIG, SPLIT = "id", "config", "split"
"""Attributes of the study."""

_ID_FILE = "id"
_LOCKS = ("lock", f"{JOURNAL}.lock")
_OWN_FILES = (*_LOCKS, JOURNAL, _ID_FILE, config_file.NAME)


@dataclass(frozen=True)
class StudyHandle:
    """A study that is this driver's.

    Attributes:
        place: where it is kept.
        copy: of the driver's own files, if that is a URL.
        locks: to be closed at the end.
    """

    study: Study
    place: Location
    copy: WorkingCopy
    locks: ExitStack


def create_study(place: Location, *, config: SearchConfig, split: Split, url: str | None) -> StudyHandle:
    """Make the study of a place, named like it.

    Raises:
        StudyError: the name is taken, the database cannot be used, or another driver works on it.
        OSError: the place cannot be written.
    """
    name, folder = place.name, place.folder
    database = _database(place, url)
    with _locked(place, url) as locks:
        copy = WorkingCopy(place, without=_LOCKS)
        copy.renew()
        directions = [DIRECTIONS[objective] for objective in config.objectives]
        study = optuna.create_study(
            study_name=name, storage=database or storage(folder, None), directions=directions, load_if_exists=True
        )
        # A study without its configuration is one whose driver died as it was begun.
        leftovers = [name for name in place.names() if not name.startswith(UNFINISHED) and name not in _OWN_FILES]
        if CONFIG in study.user_attrs or leftovers:
            found = f"; its folder {place} holds {', '.join(leftovers)}" if leftovers else ""
            raise StudyError(f"the study {name} is there already{found}; go on with --resume, or name another")
        ours = study.user_attrs.keys() <= {ID, SPLIT} and study.directions == directions
        if study.get_trials(deepcopy=False) or not ours:
            raise StudyError(f"the database holds a study {name} that is none of raygenre's; name another")
        study.set_user_attr(ID, uuid.uuid4().hex)
        (folder / _ID_FILE).write_text(study.user_attrs[ID])
        study.set_user_attr(SPLIT, split.to_json())
        config_file.save(config, folder)
        copy.keep()
        study.set_user_attr(CONFIG, config.to_json())
        return StudyHandle(study, place, copy, locks.pop_all())


def load_study(place: Location, *, url: str | None) -> StudyHandle:
    """Take up the study of a place.

    Raises:
        StudyError: there is none, it is another one's, or another driver works on it.
        OSError: the place cannot be read or written.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    name, folder = place.name, place.folder
    if not url and not (folder / JOURNAL).exists():
        raise StudyError(f"{place} holds no study; if it is kept in a database, give its --study-url")
    database = _database(place, url)
    with _locked(place, url) as locks:
        copy = WorkingCopy(place, without=_LOCKS)
        copy.renew()
        try:
            study = optuna.load_study(study_name=name, storage=database or storage(folder, None))
            if CONFIG not in study.user_attrs:
                if SPLIT not in study.user_attrs:
                    raise KeyError(CONFIG)
                # The driver that began it died before its last word, which the folder has.
                study.set_user_attr(CONFIG, SearchConfig(**config_file.read(folder / config_file.NAME)).to_json())
            if (folder / _ID_FILE).read_text() != study.user_attrs[ID]:
                raise StudyError(f"the study {name} of the database is not the one whose folder is {place}")
        except (KeyError, FileNotFoundError, SpaceError) as error:
            raise StudyError(f"the study {name} was never begun there; run it without --resume") from error
        return StudyHandle(study, place, copy, locks.pop_all())


def _database(place: Location, url: str | None) -> BaseStorage | None:
    if place.remote:
        database_lock.check(url or "")
    return storage(place.folder, url) if url else None


def _locked(place: Location, url: str | None) -> ExitStack:
    """Keep other drivers out, as a context that lets them in again."""
    with ExitStack() as locks:
        locks.callback(os.close, locked(place.folder))
        if place.remote:
            locks.enter_context(database_lock.held(url or "", place.name))
        return locks.pop_all()
