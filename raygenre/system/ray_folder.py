"""A folder for the files of this user's Ray: private, with a path short enough for sockets.

Ray keeps sockets, logs and spilled objects in the subfolder `ray` of RAY_TMPDIR, TMPDIR or /tmp. If another user
created that folder, or if a socket's path is longer than the system allows, Ray fails after many seconds without naming
a remedy. The length of a path is counted in bytes.
"""

import os
import pwd
import stat
from pathlib import Path

from raygenre.errors import RaygenreError

_SOCKET = "/ray/session_YYYY-MM-DD_HH-MM-SS_ffffff_4194304/sockets/plasma_store"  # with Linux's highest process id
MAX_BYTES = 107 - len(_SOCKET)
"""Maximum length of the path of RAY_TMPDIR or TMPDIR; the path of a Unix socket can have at most 107 bytes."""

_PRIVATE_PARENTS = (Path("/tmp"), Path("/var/tmp"))


class RayFolderError(RaygenreError, RuntimeError):
    """Ray cannot be started because no folder is suitable for its files."""


def ray_folder(private_parents: tuple[Path, ...] = _PRIVATE_PARENTS, *, create: bool = True) -> Path | None:
    """Return the value that RAY_TMPDIR must have before Ray is started, or None if Ray's own choice can be used.

    If RAY_TMPDIR is unset and Ray's own choice is unsuitable, the value is a folder `ray-UID` that only this user can
    access; it is created if it is missing. This function does not import Ray.

    Args:
        private_parents: folders in which to look for or create the private folder.
        create: whether to create a missing private folder. If False, nothing is changed, and a missing folder is
            treated as if it had been created.

    Raises:
        RayFolderError: RAY_TMPDIR is unsuitable, or no private folder can be used.
    """
    remedy = f"set RAY_TMPDIR to a folder of your own whose path has at most {MAX_BYTES} bytes"
    if chosen := os.environ.get("RAY_TMPDIR"):
        if problem := _problem(Path(chosen)):
            raise RayFolderError(f"Ray cannot use RAY_TMPDIR={chosen}: {problem}; {remedy}")
        return None
    default = Path(os.environ.get("TMPDIR") or "/tmp")
    problems = [_problem(default)]
    if not problems[0]:
        is_empty = "" in (os.environ.get("RAY_TMPDIR"), os.environ.get("TMPDIR"))
        return default if is_empty else None  # Ray would interpret an empty variable as a relative path
    for parent in private_parents:
        private = parent / f"ray-{os.geteuid()}"
        problems.append((_create_private(private) if create else _owner_problem(private)) or _problem(private))
        if not problems[-1]:
            return private
    raise RayFolderError(f"Ray cannot be started: {'; '.join(problems)}; {remedy}")


def planned_ray_folder(private_parents: tuple[Path, ...] = _PRIVATE_PARENTS) -> Path:
    """Return the folder in which Ray would keep its subfolder `ray`, without creating anything.

    Raises:
        RayFolderError: as for `ray_folder`.
    """
    own_choice = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    return ray_folder(private_parents, create=False) or Path(own_choice)


def use_ray_folder() -> None:
    """Set RAY_TMPDIR to `ray_folder()`, if Ray needs it. Call this before Ray is started.

    Raises:
        RayFolderError: as for `ray_folder`.
    """
    if folder := ray_folder():
        os.environ["RAY_TMPDIR"] = str(folder)


def _problem(folder: Path) -> str:
    """Return why Ray cannot be started with its files below `folder`; an empty string if it can."""
    if not folder.is_absolute():
        return f"{folder} is not an absolute path"
    if (length := len(os.fsencode(folder))) > MAX_BYTES:
        return f"the path {folder} has {length} bytes, too many for a socket below it"
    ours = folder / "ray"
    try:
        if ours.exists():
            if owner := _other_owner(ours.stat()):
                return f"{ours} belongs to {owner}"
            address = ours / "ray_current_cluster"  # every start rewrites it
            unusable = next((path for path in (ours, address) if path.exists() and not _is_writable(path)), None)
        else:
            parent = next(path for path in ours.parents if path.exists())
            unusable = None if _is_writable(parent) and parent.is_dir() else parent
    except OSError as error:
        return f"{ours} cannot be read: {error.strerror}"
    return f"{unusable} cannot be written" if unusable else ""


def _create_private(folder: Path) -> str:
    """Create a folder that only this user can access; return why an existing one must not be used, or "".

    Anyone may create a folder with this name in /tmp first, so its owner and type are checked.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if problem := _owner_problem(folder):
            return problem
        folder.chmod(0o700)
    except OSError as error:
        return f"{folder} cannot be created: {error.strerror}"
    return ""


def _owner_problem(folder: Path) -> str:
    """Return why a folder must not be used as the private folder; an empty string if it is suitable or missing."""
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return ""
    if not stat.S_ISDIR(status.st_mode):
        return f"{folder} is not a folder"
    return f"{folder} belongs to {owner}" if (owner := _other_owner(status)) else ""


def _other_owner(status: os.stat_result) -> str:
    """Return the name or id of the user who owns a file; an empty string if it is this user."""
    if status.st_uid == os.geteuid():
        return ""
    try:
        return f"the user {pwd.getpwuid(status.st_uid).pw_name}"
    except KeyError:
        return f"the user with id {status.st_uid}"


def _is_writable(path: Path) -> bool:
    return os.access(path, os.W_OK | os.X_OK if path.is_dir() else os.W_OK)
