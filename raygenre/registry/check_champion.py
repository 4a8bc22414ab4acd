"""Checks whether there is a champion, and whether its files are intact.

Nothing in the registry is changed.
"""

from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from raygenre.errors import RaygenreError
from raygenre.evaluation.training_data import TrainingData
from raygenre.registry import embedded, versions
from raygenre.registry.lookup import CHAMPION, RegistryUnreachableError, find
from raygenre.registry.versions import CHAMPION_URI, MODEL, Fetched
from raygenre.system.finding import Finding
from raygenre.system.moved_storage import find_move
from raygenre.tracking.retries import no_retries
from raygenre.tracking.server import Server

_CHECK = "champion"
_TRAIN = "train one with `make tune`"
_RESTORE = "run `raygenre rollback` to restore the former champion, or restore the storage from a backup"


class _UncheckedError(RaygenreError):
    """The champion cannot be checked without changing the registry, or its files are in an unsupported store."""


def check_champion(server: Server) -> Finding:
    """Load the champion and run its self-check: the stored examples must yield the stored probabilities."""
    try:
        missing = _missing(server)
        if missing:
            return missing
        fetched = _load(server)
        fetched.classifier.verify()
    except _UncheckedError as error:
        return Finding(_CHECK, "warning", f"not checked: {error}", "run `raygenre models` to see the versions")
    except RegistryUnreachableError as error:
        return Finding(_CHECK, "problem", str(error), "check the artifact store of MLflow, then run this again")
    except (RaygenreError, OSError) as error:
        return Finding(_CHECK, "problem", str(error), _RESTORE)
    facts = {"model": fetched.name, "genres": list(fetched.classifier.genres), "sha256": fetched.classifier.sha256}
    found = f"{fetched.name} passes its self-check: {len(fetched.classifier.genres)} genres{_accuracy(fetched)}"
    if warning := TrainingData.of(fetched.classifier, fetched.facts).warning:
        remedy = "train on real music: `raygenre tune --data PATH`"
        meaning = f"{found}; {warning}: its predictions for real songs are meaningless"
        return Finding(_CHECK, "warning", meaning, remedy, facts)
    return Finding(_CHECK, "ok", found, "", facts)


def _missing(server: Server) -> Finding | None:
    """Return a finding if no version is the champion."""
    storage = server.storage
    if storage.database:
        registered = embedded.read_versions(storage, MODEL) if storage.has_runs else []
        if registered is None:
            raise _UncheckedError("the database is locked, or has a schema that only MLflow's client can read")
        if any(CHAMPION in version.aliases for version in registered):
            return None
        if registered:
            found = f"none of the {len(registered)} registered versions is the champion"
            return Finding(_CHECK, "warning", found, "choose one with `raygenre promote VERSION`")
        return Finding(_CHECK, "warning", "no model is registered yet", _TRAIN)
    if not server.uri.startswith(("http://", "https://")):
        raise _UncheckedError("opening this registry could create tables in it")
    try:
        with no_retries():
            find(server, CHAMPION_URI)
    except RegistryUnreachableError:
        raise
    except RaygenreError as error:
        return Finding(_CHECK, "warning", str(error), f"{_TRAIN}, or choose one with `raygenre promote VERSION`")
    return None


def _load(server: Server) -> Fetched:
    """Load the champion.

    The embedded registry is read without MLflow's client, because the client would rewrite the addresses in a storage
    that was moved.
    """
    storage = server.storage
    if not storage.database:
        return versions.fetch(server)
    registered = embedded.read_versions(storage, MODEL) or []
    [version] = (version for version in registered if CHAMPION in version.aliases)
    if move := find_move(storage):
        version = replace(version, source=move.current(version.source))
    url = urlsplit(version.source)
    if url.scheme != "file":
        raise _UncheckedError(f"the files of {version.name}/{version.number} are not on this machine")
    folders = list((Path(unquote(url.path)) / "artifacts").glob("*"))
    if not folders:
        raise RaygenreError(f"the files of {version.name}/{version.number} are missing in {unquote(url.path)}")
    return versions.load_version(version, folders[0])


def _accuracy(fetched: Fetched) -> str:
    facts = fetched.facts
    if facts is None or not facts.test_tracks:
        return ""
    return f", {facts.test_accuracy:.1%} of {facts.test_tracks} test tracks correct"
