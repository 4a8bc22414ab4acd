"""Begin a study, or take one up again: whose it is, whether it is whole, and that no other driver works on it.

The lock is a file's, so it keeps out drivers that share the storage folder. A study in a database also carries an id,
which its folder knows: a driver with another folder is refused.
"""

import os
import uuid
from pathlib import Path

import optuna
from optuna.study import Study

from raygenre.search import run_file
from raygenre.search.config import SearchConfig
from raygenre.search.folder import JOURNAL, StudyError, locked, storage
from raygenre.search.objectives import DIRECTIONS
from raygenre.search.space import SpaceError
from raygenre.splits import Split
from raygenre.writing import UNFINISHED

ID, CONFIG, SPLIT = "id", "config", "split"
"""Attributes of the study."""

_ID_FILE = "id"
_OWN_FILES = ("lock", JOURNAL, f"{JOURNAL}.lock", _ID_FILE, run_file.NAME)


def begin(folder: Path, *, config: SearchConfig, split: Split, url: str | None) -> tuple[Study, Path, int]:
    """Make the study of a folder, named like it; returns it with its folder and lock.

    Raises:
        StudyError: the name is taken, the database cannot be used, or another driver works in the folder.
    """
    name = folder.name
    database = storage(folder, url) if url else None
    lock = locked(folder)
    try:
        directions = [DIRECTIONS[objective] for objective in config.objectives]
        study = optuna.create_study(
            study_name=name, storage=database or storage(folder, None), directions=directions, load_if_exists=True
        )
        # A study without its configuration is one whose driver died as it was begun.
        names = sorted(path.name for path in folder.iterdir() if not path.name.startswith(UNFINISHED))
        leftovers = [name for name in names if name not in _OWN_FILES]
        if CONFIG in study.user_attrs or leftovers:
            found = f"; its folder {folder} holds {', '.join(leftovers)}" if leftovers else ""
            raise StudyError(f"the study {name} is there already{found}; go on with --resume, or name another")
        ours = study.user_attrs.keys() <= {ID, SPLIT} and study.directions == directions
        if study.get_trials(deepcopy=False) or not ours:
            raise StudyError(f"the database holds a study {name} that is none of raygenre's; name another")
        study.set_user_attr(ID, uuid.uuid4().hex)
        (folder / _ID_FILE).write_text(study.user_attrs[ID])
        study.set_user_attr(SPLIT, split.to_json())
        run_file.save(config, folder)
        study.set_user_attr(CONFIG, config.to_json())
    except BaseException:
        os.close(lock)
        raise
    return study, folder, lock


def resume(folder: Path, *, url: str | None) -> tuple[Study, Path, int]:
    """Take up the study of a folder; returns it with its folder and lock.

    Raises:
        StudyError: there is none, it is another one's, or another driver works on it.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if not url and not (folder / JOURNAL).exists():
        raise StudyError(f"{folder} holds no study; if it is kept in a database, give its --study-url")
    database = storage(folder, url) if url else None
    lock = locked(folder)
    try:
        study = optuna.load_study(study_name=folder.name, storage=database or storage(folder, None))
        if CONFIG not in study.user_attrs:
            if SPLIT not in study.user_attrs:
                raise KeyError(CONFIG)
            # The driver that began it died before its last word, which the folder has.
            study.set_user_attr(CONFIG, SearchConfig(**run_file.read(folder / run_file.NAME)).to_json())
        if (folder / _ID_FILE).read_text() != study.user_attrs[ID]:
            raise StudyError(f"the study {folder.name} of the database is not the one whose folder is {folder}")
    except (KeyError, FileNotFoundError, SpaceError) as error:
        os.close(lock)
        raise StudyError(f"the study {folder.name} was never begun there; run it without --resume") from error
    except BaseException:
        os.close(lock)
        raise
    return study, folder, lock
