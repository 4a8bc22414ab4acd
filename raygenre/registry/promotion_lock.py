"""One champion's change at a time.

For an SQLite database the lock is a file's beside it, which goes with its process however that ends: nobody else holds
it meanwhile, on this machine or on others that share the folder. MLflow's own calls compare nothing before they set it,
but a server makes a registered model of a name once: so there the lock is a registered model without versions that is
there for as long as somebody holds it. One whose owner has not given it back for a minute is taken away, if the server
lets this user do so; an owner that was only slow sees that with `check` right before it moves the alias. What remains
is an owner that stops for a minute between that look and its very next call.
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

LOCK = "raygenre-promotion-lock"
DEAD = 60.0  # s that a lock on a server may be held
_OWNER, _WHO = "owner", "held_by"
_GONE = "RESOURCE_DOES_NOT_EXIST"


class LockLostError(RaygenreError, RuntimeError):
    """Somebody else took the lock, or holds one that cannot be taken away; the message says what to do."""


Still = Callable[[], bool]
"""Whether the lock is still ours."""


def check(still: Still) -> None:
    """See whether the lock is still ours.

    Raises:
        LockLostError: it is another's.
    """
    if not still():
        raise LockLostError("the champion was changed by somebody else meanwhile; say it again if it is still wanted")


def person() -> str:
    """Whoever runs this process, by name and machine."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        name = str(os.getuid())
    return f"{name}@{os.uname().nodename}"


@contextmanager
def held(client: MlflowClient, *, dead: float = DEAD) -> Iterator[Still]:
    """Wait until nobody else changes the champion, and keep others waiting."""
    uri = client.tracking_uri
    with _file(Path(uri.removeprefix("sqlite:///"))) if uri.startswith("sqlite:///") else _model(client, dead) as still:
        yield still


@contextmanager
def _file(database: Path) -> Iterator[Still]:
    lock = os.open(database.with_name(f"{database.name}.promotion"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lambda: True
    finally:
        os.close(lock)


@contextmanager
def _model(client: MlflowClient, dead: float) -> Iterator[Still]:
    ours = uuid.uuid4().hex
    try:
        _wait(client, ours, dead)
        yield lambda: _owner(client) == ours
    finally:
        with suppress(MlflowException):  # away: the next one takes it away in a minute
            _take_away(client, ours)


def _wait(client: MlflowClient, ours: str, dead: float) -> None:
    seen, since = "", time.monotonic()
    while not _made(client, ours):
        owner = _owner(client)
        if owner != seen:  # by our own clock: the server's may be another
            seen, since = owner, time.monotonic()
        elif owner and time.monotonic() - since > dead:
            try:
                _take_away(client, owner)
            except MlflowException as error:
                if error.error_code != "PERMISSION_DENIED":
                    raise
                raise LockLostError(
                    f"the registered model {LOCK} is the lock of somebody who has not given it back; whoever made it "
                    "(its tag held_by) or an administrator may delete it"
                ) from error
        time.sleep(random.uniform(0.05, 0.25))


def _made(client: MlflowClient, ours: str) -> bool:
    about = "Held while the champion of raygenre changes, which takes a moment."
    try:
        client.create_registered_model(LOCK, tags={_OWNER: ours, _WHO: person()}, description=about)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_ALREADY_EXISTS", _GONE):  # gone: given back as MLflow was about to refuse
            raise
        return _owner(client) == ours  # an answer was lost, and MLflow's client asked again
    return True


def _owner(client: MlflowClient) -> str:
    """Who holds it; empty if nobody does."""
    try:
        return str(client.get_registered_model(LOCK).tags.get(_OWNER, ""))
    except MlflowException as error:
        if error.error_code == _GONE:
            return ""
        raise


def _take_away(client: MlflowClient, owner: str) -> None:
    if _owner(client) != owner:
        return
    try:
        client.delete_registered_model(LOCK)
    except MlflowException as error:
        if error.error_code != _GONE:
            raise
