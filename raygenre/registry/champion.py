"""Finds the champion and the former champions, and moves the champion's alias.

The former champions are listed in a tag of the registered model so that `rollback` can restore them. When a version is
deleted, MLflow also deletes its alias but keeps this tag. `decision` contains the rule that determines the champion.
"""

from datetime import UTC, datetime
from typing import NamedTuple

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from raygenre.evaluation.version_facts import VersionFacts
from raygenre.registry import promotion_lock
from raygenre.registry.lookup import RegistryError, is_unregistered
from raygenre.registry.versions import CHAMPION, MODEL, facts_of
from raygenre.tracking.server import Server
from raygenre.tracking.server_errors import is_missing

HISTORY = "champions_before"  # tag of the registered model: version numbers, oldest first
REPLACED = "replaced_by"  # tag of a former champion
BACK_WHEN, BACK_BY = "rolled_back_when", "rolled_back_by"  # tags of a champion that was replaced by a rollback
MAX_HISTORY = 50  # version numbers kept in HISTORY


class Champion(NamedTuple):
    """The version that has the champion's alias.

    Attributes:
        facts: facts recorded about the version; None if it was registered by hand.
    """

    version: int
    facts: VersionFacts | None


class Incumbent(NamedTuple):
    """The version that a candidate has to beat.

    Attributes:
        facts: facts recorded about the version; None if it was registered by hand.
        has_alias: whether this version is the champion; False for the predecessor of a deleted champion.
    """

    version: int
    facts: VersionFacts | None
    has_alias: bool


def find(server: Server) -> Champion | None:
    """Return the champion, or None if no version has the alias."""
    return champion_of(server.client)


def champion_of(client: MlflowClient) -> Champion | None:
    """Return the champion of the client's registry, or None if no version has the alias."""
    try:
        version = client.get_model_version_by_alias(MODEL, CHAMPION)
    except MlflowException as error:
        if is_unregistered(error):
            return None
        raise
    return Champion(int(version.version), facts_of(version))


def incumbent_of(client: MlflowClient) -> Incumbent | None:
    """Return the champion or, if it was deleted, the most recent former champion that still exists."""
    if champion := champion_of(client):
        return Incumbent(*champion, has_alias=True)
    for version in reversed(_history(client)):
        if _exists(client, version):
            return Incumbent(int(version), facts_of(client.get_model_version(MODEL, version)), has_alias=False)
    return None


def promote(server: Server, version: int) -> None:
    """Make a version the champion without applying the promotion rule."""
    client = server.client
    with promotion_lock.hold(client) as still_held:
        champion = champion_of(client)
        move(client, version, champion.version if champion else None, still_held=still_held)


def move(client: MlflowClient, version: int, incumbent: int | None, *, still_held: promotion_lock.StillHeld) -> None:
    """Move the alias to a version and add the incumbent to the history. The caller must hold the lock.

    Raises:
        LockLostError: another process has taken the lock; the alias was not moved.
    """
    if incumbent and incumbent != version:
        history = [*_history(client), str(incumbent)]
        client.set_registered_model_tag(MODEL, HISTORY, " ".join(history[-MAX_HISTORY:]))
    promotion_lock.ensure_held(still_held)
    client.set_registered_model_alias(MODEL, CHAMPION, str(version))
    _tag_replaced(client, str(incumbent or version), str(version))


def rollback(server: Server) -> tuple[int, int]:
    """Move the alias back to the previous champion; return the replaced version and the restored version.

    Raises:
        RegistryError: there is no champion, or no former champion that could be restored.
        LockLostError: another process changed the champion in the meantime.
    """
    no_champion = RegistryError(
        f"there is no champion in {server.address}; promote a version with `raygenre promote VERSION`"
    )
    if not server.storage.has_runs:
        raise no_champion
    client = server.client
    with promotion_lock.hold(client) as still_held:
        champion = champion_of(client)
        if champion is None:
            raise no_champion
        current, history = str(champion.version), _history(client)
        # If a promotion is interrupted before it moves the alias, the history already contains the current champion.
        while history and (history[-1] == current or not _exists(client, history[-1])):
            history.pop()
        if not history:
            raise RegistryError(
                f"version {current} has no previous champion to roll back to; choose one with "
                "`raygenre promote VERSION`"
            )
        *older, previous = history
        promotion_lock.ensure_held(still_held)
        # The alias is moved first. If setting the tag then fails, the next promotion repairs the tag.
        client.set_registered_model_alias(MODEL, CHAMPION, previous)
        client.set_registered_model_tag(MODEL, HISTORY, " ".join(older))
        _tag_replaced(client, current, previous)
        # MLflow's clients cannot query the server for their own user name, so the local user is recorded.
        client.set_model_version_tag(MODEL, current, BACK_WHEN, datetime.now(UTC).isoformat(timespec="seconds"))
        client.set_model_version_tag(MODEL, current, BACK_BY, promotion_lock.local_user())
    return int(current), int(previous)


def champions_before(server: Server) -> list[int]:
    """Return the former champions' version numbers, oldest first."""
    return [int(version) for version in _history(server.client)] if server.storage.has_runs else []


def _tag_replaced(client: MlflowClient, old: str, new: str) -> None:
    """Tag the former champion as replaced, because its other tags still record its promotion."""
    if old != new:
        client.set_model_version_tag(MODEL, old, REPLACED, new)
    # The tags are set to "" instead of being deleted: on a server with user accounts, permission to edit a model does
    # not include deleting its tags.
    tags = client.get_model_version(MODEL, new).tags
    for tag in (REPLACED, BACK_WHEN, BACK_BY):
        if tags.get(tag):
            client.set_model_version_tag(MODEL, new, tag, "")


def _exists(client: MlflowClient, version: str) -> bool:
    try:
        return bool(client.get_model_version(MODEL, version))
    except MlflowException as error:
        if is_missing(error):
            return False
        raise


def _history(client: MlflowClient) -> list[str]:
    try:
        return str(client.get_registered_model(MODEL).tags.get(HISTORY, "")).split()
    except MlflowException as error:
        if is_missing(error):
            return []
        raise
