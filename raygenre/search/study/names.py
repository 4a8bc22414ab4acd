"""Checks study names and defines the errors about studies, without importing Optuna."""

import re
from pathlib import Path

from raygenre.errors import RaygenreError
from raygenre.search.space.choices import CONFIG_FILE
from raygenre.system.location import Location

JOURNAL = "journal.log"
LOCK = "lock"


class StudyError(RaygenreError, ValueError):
    """A study cannot be opened as requested."""


class StudyBusyError(StudyError):
    """Another driver has the study open."""


def latest_study(studies: Location) -> str:
    """Return the name of the study that was created or resumed most recently on this machine.

    Raises:
        StudyError: there are no studies, or they are at a URL, where the time of their last use is not recorded.
    """
    if studies.is_remote:
        raise StudyError(f"choose a study with --study; {studies} contains {', '.join(studies.names()) or 'none'}")
    created = [lock.parent for lock in studies.folder.glob(f"*/{LOCK}") if lock.with_name(CONFIG_FILE).exists()]
    if not created:
        raise StudyError(f"there is no study in {studies} to resume")
    return sorted(created, key=last_used)[-1].name


def last_used(study: Path) -> float:
    """Return the time when a driver last opened the study in this folder, in s since 1970; 0 if never."""
    lock = study / LOCK
    return lock.stat().st_mtime if lock.exists() else 0.0


def check_name(name: str) -> None:
    """Check that a study's name can also be the name of its folder.

    Raises:
        StudyError: the name cannot be used for a folder.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise StudyError(
            f"invalid study name {name!r}: use 1 to 100 letters, digits, '.', '_' and '-', starting with a letter or "
            "digit"
        )


def check_exists(studies: Location, name: str) -> None:
    """Check that a study with this name exists.

    Raises:
        StudyError: no such study exists.
    """
    names = studies.names()
    if name not in names:
        raise StudyError(f"there is no study {name} in {studies}; existing studies: {', '.join(names) or 'none'}")
