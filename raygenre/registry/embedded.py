"""Read the embedded registry's SQLite database without MLflow's client.

Importing the client takes several seconds. Only a database whose schema is listed here is read; for any other registry,
every function returns None, and the caller uses MLflow's client. The database is opened read-only, so nothing is
created, migrated or locked for writing.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from raygenre.system.storage import Storage

SCHEMAS = frozenset({"dc11669786a5"})
"""Alembic revisions of the schemas that can be read, currently only MLflow 3.17's. Add others once the tests pass."""

_WORKSPACE = "default"
_DELETED = "Deleted_Internal"  # stage of a deleted version
_TIMEOUT = 1.0  # s to wait for a writer; then MLflow's client takes over, waits longer and reports any error


@dataclass(frozen=True)
class RegisteredVersion:
    """A version in the registry.

    Attributes:
        created: time of registration, in ms since 1970.
        source: URI of the MLflow model's folder; empty if only MLflow's client can determine it.
        run_id: id of the MLflow run that trained the version; empty if it was registered without a run.
    """

    name: str
    number: int
    created: int
    source: str
    run_id: str
    tags: Mapping[str, str]
    aliases: tuple[str, ...] = ()


def read_versions(storage: Storage, name: str) -> list[RegisteredVersion] | None:
    """Return all versions of a model, oldest first; None if MLflow's client has to read them."""
    path = storage.database
    if path is None or not path.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_TIMEOUT)) as database:
            database.execute("BEGIN")  # one snapshot, so that aliases and versions are consistent
            if {revision for (revision,) in database.execute("SELECT version_num FROM alembic_version")} - SCHEMAS:
                return None
            return _read(database, name)
    except sqlite3.Error:
        return None


def _read(database: sqlite3.Connection, name: str) -> list[RegisteredVersion]:
    scope = (_WORKSPACE, name)
    tags: dict[int, dict[str, str]] = defaultdict(dict)
    for number, key, value in database.execute(
        "SELECT version, key, value FROM model_version_tags WHERE workspace = ? AND name = ?", scope
    ):
        tags[number][key] = value
    aliases: dict[int, list[str]] = defaultdict(list)
    for number, alias in database.execute(
        "SELECT version, alias FROM registered_model_aliases WHERE workspace = ? AND name = ? ORDER BY alias", scope
    ):
        aliases[number].append(alias)
    rows = database.execute(
        "SELECT version, creation_time, coalesce(storage_location, source), run_id FROM model_versions "
        "WHERE workspace = ? AND name = ? AND current_stage != ? ORDER BY version",
        (*scope, _DELETED),
    )
    return [
        RegisteredVersion(name, number, created, source or "", run_id or "", tags[number], tuple(aliases[number]))
        for number, created, source, run_id in rows
    ]


def artifact_folder(storage: Storage, version: RegisteredVersion) -> Path | None:
    """Return the folder of a version's MLflow model; None if MLflow's client has to download it.

    Only a folder inside the storage is returned: any other address may date from before the storage was moved.
    """
    url = urlsplit(version.source)
    folder = Path(unquote(url.path))
    if url.scheme != "file" or url.netloc or not folder.is_relative_to(storage.root) or not folder.is_dir():
        return None
    return folder
