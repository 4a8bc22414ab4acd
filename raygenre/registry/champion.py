"""The alias `champion` of a registered version: who has it, who had it before, and moving it.

A tag of the model remembers who had it, so that it can be given back, and outlives the alias, which goes with its
version when that is deleted. Who may have it `championship` decides.
"""

from datetime import UTC, datetime

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from raygenre.evaluation.version_facts import VersionFacts
from raygenre.registry import promotion_lock, versions
from raygenre.registry.versions import CHAMPION, MODEL, RegistryError
from raygenre.system.storage import Storage
from raygenre.tracking.server import Server

HISTORY = "champions_before"  # tag of the registered model
REPLACED = "replaced_by"  # tag of a version that was champion
BACK_WHEN, BACK_BY = "rolled_back_when", "rolled_back_by"  # tags of one that lost its place to the champion before it
MOST_REMEMBERED = 50  # versions in that tag


def champion(storage: Storage) -> tuple[int, VersionFacts | None] | None:
    """Return the champion's version and evidence, if there is a champion; a version registered by hand has none."""
    try:
        found = Server(storage).client.get_model_version_by_alias(MODEL, CHAMPION)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    return int(found.version), versions.facts_of(found)


def incumbent(storage: Storage) -> tuple[int, VersionFacts | None] | None:
    """Return the champion; where its version was deleted, and the alias with it, the last one before that is there."""
    if found := champion(storage):
        return found
    client = Server(storage).client
    for version in reversed(_history(client)):
        if _is_there(client, version):
            return int(version), versions.facts_of(client.get_model_version(MODEL, version))
    return None


def promote(storage: Storage, version: int) -> None:
    """Give a version the alias `champion`, whatever is known of it."""
    client = Server(storage).client
    with promotion_lock.held(client) as still:
        incumbent = champion(storage)
        crown(client, version, incumbent[0] if incumbent else None, still=still)


def crown(client: MlflowClient, version: int, incumbent: int | None, *, still: promotion_lock.Still) -> None:
    """Move the alias `champion` from the incumbent, which the model's tag remembers; the caller holds the lock.

    Raises:
        LockLostError: somebody else has the lock by now; nothing was moved.
    """
    if incumbent and incumbent != version:
        before = [*_history(client), str(incumbent)]
        client.set_registered_model_tag(MODEL, HISTORY, " ".join(before[-MOST_REMEMBERED:]))
    promotion_lock.check(still)
    client.set_registered_model_alias(MODEL, CHAMPION, str(version))
    _succeed(client, str(incumbent or version), str(version))


def rollback(storage: Storage) -> tuple[int, int]:
    """Give the alias `champion` back to the version that had it before; return the one that loses and that gets it.

    Raises:
        RegistryError: there is no champion, or there was none before whose version is still there.
        LockLostError: somebody else changed the champion meanwhile.
    """
    nobody = RegistryError(f"there is no champion in {storage.server}")
    if not storage.has_runs:
        raise nobody
    client = Server(storage).client
    with promotion_lock.held(client) as still:
        incumbent = champion(storage)
        if incumbent is None:
            raise nobody
        now, before = str(incumbent[0]), _history(client)
        # Itself is there after a promotion that ended before the alias was moved.
        while before and (before[-1] == now or not _is_there(client, before[-1])):
            before.pop()
        if not before:
            raise RegistryError(f"version {now} is the first champion that there is; there is none to go back to")
        promotion_lock.check(still)
        # The alias first: a failure in between leaves a tag that the next promotion mends.
        client.set_registered_model_alias(MODEL, CHAMPION, before[-1])
        client.set_registered_model_tag(MODEL, HISTORY, " ".join(before[:-1]))
        _succeed(client, now, before[-1])
        # A server with users does not say who asks: as with a promotion, whoever runs this, by name and machine.
        client.set_model_version_tag(MODEL, now, BACK_WHEN, datetime.now(UTC).isoformat(timespec="seconds"))
        client.set_model_version_tag(MODEL, now, BACK_BY, promotion_lock.person())
    return int(now), int(before[-1])


def champions_before(storage: Storage) -> list[int]:
    """Return the versions that were champion before, the last one last."""
    return [int(version) for version in _history(Server(storage).client)] if storage.has_runs else []


def _succeed(client: MlflowClient, old: str, new: str) -> None:
    """Leave a word with the version that was champion, whose other tags still say that it was promoted."""
    if old != new:
        client.set_model_version_tag(MODEL, old, REPLACED, new)
    # Emptied, not deleted: who may edit a model on a server with users may not delete anything of it.
    noted = client.get_model_version(MODEL, new).tags
    for tag in (REPLACED, BACK_WHEN, BACK_BY):
        if noted.get(tag):
            client.set_model_version_tag(MODEL, new, tag, "")


def _is_there(client: MlflowClient, version: str) -> bool:
    try:
        return bool(client.get_model_version(MODEL, version))
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def _history(client: MlflowClient) -> list[str]:
    try:
        return str(client.get_registered_model(MODEL).tags.get(HISTORY, "")).split()
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return []
        raise
