"""A lock that lets one process at a time change the champion.

With an SQLite database, the lock is a file lock on a file next to the database. The operating system releases it when
the process ends. The lock also works across machines that share the folder.

With an MLflow server, the lock is a registered model without versions, named `LOCK_MODEL`, that exists while the lock
is held. MLflow has no compare-and-set operation, but it never creates two registered models with the same name. The
next process deletes a lock that is older than `MAX_HELD_SECONDS` if the server permits the process's user to do so. If
the holder was merely slow, it detects the loss in `ensure_held`, which is called directly before the alias is moved.
One gap remains: a holder may be suspended for more than `MAX_HELD_SECONDS` between this check and its next request.
"""

import fcntl
import getpass
import os
import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from raygenre.errors import RaygenreError
from raygenre.system.storage import sqlite_file
from raygenre.tracking.server_errors import is_missing

LOCK_MODEL = "raygenre-promotion-lock"
MAX_HELD_SECONDS = 60.0  # after which another process may delete the lock on a server
_OWNER, _HELD_BY = "owner", "held_by"  # tags of the lock


class LockLostError(RaygenreError, RuntimeError):
    """Another process took the lock, or holds a lock that this user may not delete."""


StillHeld = Callable[[], bool]
"""Returns whether this process still holds the lock."""


def ensure_held(still_held: StillHeld) -> None:
    """Check that this process still holds the lock.

    Raises:
        LockLostError: another process has taken the lock.
    """
    if not still_held():
        raise LockLostError(
            "someone else changed the champion in the meantime; run the command again to apply your change"
        )


def local_user() -> str:
    """Return the user and host of this process as `user@host`."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # in a container, the user id may have no name
        name = str(os.getuid())
    return f"{name}@{os.uname().nodename}"


@contextmanager
def hold(client: MlflowClient, *, max_held: float = MAX_HELD_SECONDS) -> Iterator[StillHeld]:
    """Wait for the lock and hold it for the duration of the context.

    Args:
        max_held: seconds after which a lock that another process holds on a server is deleted.

    Raises:
        LockLostError: the lock on the server has expired, and this user may not delete it.
    """
    database = sqlite_file(client.tracking_uri)
    with _hold_file(database) if database else _hold_model(client, max_held) as still_held:
        yield still_held


@contextmanager
def _hold_file(database: Path) -> Iterator[StillHeld]:
    lock = os.open(database.with_name(f"{database.name}.promotion"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lambda: True
    finally:
        os.close(lock)


@contextmanager
def _hold_model(client: MlflowClient, max_held: float) -> Iterator[StillHeld]:
    owner = uuid.uuid4().hex
    try:
        _acquire(client, owner, max_held)
        yield lambda: _owner(client) == owner
    finally:
        with suppress(MlflowException):  # if MLflow is unreachable, the lock expires later
            _delete(client, owner)


def _acquire(client: MlflowClient, owner: str, max_held: float) -> None:
    last_holder, since = "", time.monotonic()
    while not _create(client, owner):
        holder = _owner(client)
        if holder != last_holder:  # timed on this machine because the server's clock may differ
            last_holder, since = holder, time.monotonic()
        elif holder and time.monotonic() - since > max_held:
            try:
                _delete(client, holder)
            except MlflowException as error:
                if error.error_code != "PERMISSION_DENIED":
                    raise
                raise LockLostError(
                    "the lock on the champion has expired, but this user may not delete it; ask the user named in the "
                    f"{_HELD_BY} tag of the registered model {LOCK_MODEL}, or an administrator, to delete that model"
                ) from error
        time.sleep(random.uniform(0.05, 0.25))


def _create(client: MlflowClient, owner: str) -> bool:
    """Create the model; return False if another process holds the lock."""
    description = "Lock of raygenre, held for a moment while the champion changes."
    try:
        client.create_registered_model(
            LOCK_MODEL, tags={_OWNER: owner, _HELD_BY: local_user()}, description=description
        )
    except MlflowException as error:
        # is_missing: the lock was deleted while MLflow was responding that it already exists.
        if error.error_code != "RESOURCE_ALREADY_EXISTS" and not is_missing(error):
            raise
        return _owner(client) == owner  # true if the response was lost and MLflow's client sent the request again
    return True


def _owner(client: MlflowClient) -> str:
    """Return the holder's random id, or "" if the lock is free."""
    try:
        return str(client.get_registered_model(LOCK_MODEL).tags.get(_OWNER, ""))
    except MlflowException as error:
        if is_missing(error):
            return ""
        raise


def _delete(client: MlflowClient, owner: str) -> None:
    """Delete the lock if this owner still holds it."""
    if _owner(client) != owner:
        return
    try:
        client.delete_registered_model(LOCK_MODEL)
    except MlflowException as error:
        if not is_missing(error):
            raise
