"""Creates a study or loads an existing one, and locks it against other drivers.

The lock is a file in the study's folder, so it works for drivers that share the folder. A study at a URL also uses a
lock in its database. The id of a study in a database is also stored in the study's folder, so a driver with a different
folder cannot load the study. The database stores the path of the folder, so a driver with a copy of the folder cannot
load the study either.
"""

import os
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.storages import BaseStorage
from optuna.study import Study

from raygenre.data.splits import Split
from raygenre.search.space import config_file
from raygenre.search.space.config import SearchConfig
from raygenre.search.space.objectives import DIRECTIONS
from raygenre.search.space.space import SpaceError
from raygenre.search.study import database_lock
from raygenre.search.study.backend import StudyError, acquire_lock, storage
from raygenre.search.study.names import JOURNAL, LOCK
from raygenre.search.study.working_copy import WorkingCopy
from raygenre.system.atomic_write import UNFINISHED
from raygenre.system.location import Location

ID, CONFIG, SPLIT, FOLDER = "id", "config", "split", "folder"
"""Names of the study's attributes."""

_ID_FILE = "id"
_LOCKS = (LOCK, f"{JOURNAL}.lock")
_OWN_FILES = (*_LOCKS, JOURNAL, _ID_FILE, config_file.NAME)


@dataclass(frozen=True)
class StudyHandle:
    """An open study, locked by this driver.

    Attributes:
        study: Optuna's study.
        location: the study's folder or URL.
        copy: local working copy of the driver's own files; used only for a study at a URL.
        locks: the acquired locks; closing them releases the study.
    """

    study: Study
    location: Location
    copy: WorkingCopy
    locks: ExitStack


def create_study(location: Location, *, config: SearchConfig, split: Split, url: str | None) -> StudyHandle:
    """Create a study at a location, and name it after the last part of the location.

    Raises:
        StudyError: the name is taken, the database cannot be used, or another driver has the study open.
        OSError: the location cannot be written to.
    """
    name, folder = location.name, location.folder
    database = _database(location, url)
    with _lock(location, url) as locks:
        copy = WorkingCopy(location, exclude=_LOCKS)
        copy.download()
        directions = [DIRECTIONS[objective] for objective in config.objectives]
        study = optuna.create_study(
            study_name=name, storage=database or storage(folder, None), directions=directions, load_if_exists=True
        )
        # A study without a configuration is left by a driver that died while creating it, so it may be created again.
        leftovers = [name for name in location.names() if not name.startswith(UNFINISHED) and name not in _OWN_FILES]
        if CONFIG in study.user_attrs or leftovers:
            contents = f" (its folder {location} contains {', '.join(leftovers)})" if leftovers else ""
            raise StudyError(
                f"the study {name} already exists{contents}; resume it with --resume, or choose another name with "
                "--study"
            )
        ours = study.user_attrs.keys() <= {ID, SPLIT, FOLDER} and study.directions == directions
        if study.get_trials(deepcopy=False) or not ours:
            raise StudyError(
                f"the database has a study {name} that raygenre did not create; choose another name with --study"
            )
        study.set_user_attr(ID, uuid.uuid4().hex)
        (folder / _ID_FILE).write_text(study.user_attrs[ID])
        if url:
            _claim(study, location)
        study.set_user_attr(SPLIT, split.to_json())
        config_file.save(config, folder)
        copy.upload()
        study.set_user_attr(CONFIG, config.to_json())
        return StudyHandle(study, location, copy, locks.pop_all())


def load_study(location: Location, *, url: str | None) -> StudyHandle:
    """Load the study at a location.

    Raises:
        StudyError: the study does not exist, belongs to another folder, or is open in another driver.
        OSError: the location cannot be read or written.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    name, folder = location.name, location.folder
    if not url and not (folder / JOURNAL).exists():
        raise StudyError(f"{location} contains no study; if the study is in a database, use --study-url")
    database = _database(location, url)
    with _lock(location, url) as locks:
        copy = WorkingCopy(location, exclude=_LOCKS)
        copy.download()
        try:
            study = optuna.load_study(study_name=name, storage=database or storage(folder, None))
            if CONFIG not in study.user_attrs:
                if SPLIT not in study.user_attrs:
                    raise KeyError(CONFIG)
                # The driver died just before it stored the configuration in the study, but run.yaml contains it.
                study.set_user_attr(CONFIG, SearchConfig(**config_file.read(folder / config_file.NAME)).to_json())
            if (folder / _ID_FILE).read_text() != study.user_attrs[ID]:
                raise StudyError(
                    f"the study {name} in the database does not belong to {location}; use the --storage with which "
                    "it was created"
                )
        except (KeyError, FileNotFoundError, SpaceError) as error:
            raise StudyError(f"the study {name} was not created in {location}; run it without --resume") from error
        if url:
            _claim(study, location)
        return StudyHandle(study, location, copy, locks.pop_all())


def _claim(study: Study, location: Location) -> None:
    """Record a study's folder in its database. A folder may be moved, but two folders must not share a study.

    Raises:
        StudyError: the location is a copy of the recorded folder, which still exists.
    """
    recorded, path = study.user_attrs.get(FOLDER), str(location)
    if recorded == path:
        return
    if recorded and not location.is_remote and _is_copy(location.folder, Path(recorded), study.user_attrs[ID]):
        raise StudyError(
            f"{path} is a copy of {recorded}, and both share the study {location.name} in the database; resume it with "
            f"--storage {Path(recorded).parents[1]}, or delete that study's folder first"
        )
    study.set_user_attr(FOLDER, path)


def _is_copy(folder: Path, original: Path, study_id: str) -> bool:
    """Return whether `original` still exists, belongs to the same study and is a different folder."""
    file = original / _ID_FILE
    return file.is_file() and file.read_text() == study_id and not file.samefile(folder / _ID_FILE)


def _database(location: Location, url: str | None) -> BaseStorage | None:
    if location.is_remote:
        database_lock.check_url(url or "")
    return storage(location.folder, url) if url else None


def _lock(location: Location, url: str | None) -> ExitStack:
    """Lock a study against other drivers; closing the returned stack releases the lock."""
    with ExitStack() as locks:
        locks.callback(os.close, acquire_lock(location.folder))
        if location.is_remote:
            locks.enter_context(database_lock.study_lock(url or "", location.name))
        return locks.pop_all()
