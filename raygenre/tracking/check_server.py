"""Checks whether MLflow's embedded database or tracking server is reachable.

This module neither imports MLflow nor changes anything.
"""

import os
import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

from raygenre.system.finding import Finding
from raygenre.system.proxies import exempt_loopback, page_note
from raygenre.system.storage import EXPERIMENT, Storage
from raygenre.tracking.reasons import HOST_REJECTED, REMEDIES, UNKNOWN_HOST, request_reason

_CHECK = "MLflow"
_ROUTE = "/api/2.0/mlflow/experiments/get-by-name"
# The response contains the first text if the experiment exists, and the second text if it is missing.
_ANSWERS = ('"experiment"', "RESOURCE_DOES_NOT_EXIST")
_TIMEOUT = 5.0  # s to connect, and to wait for a response
_LOCK_TIMEOUT = 1.0  # s to wait for a process that is writing to the database
_CHOOSE = "choose another server with --tracking-uri or MLFLOW_TRACKING_URI"


def check_tracking(storage: Storage, schemas: Collection[str]) -> Finding:
    """Check that the tracking database can be read, or that the tracking server responds.

    Args:
        schemas: the revisions of MLflow's database schema with which raygenre is tested.
    """
    if storage.database:
        return _check_database(storage, storage.database, schemas)
    if storage.tracking_uri.startswith(("http://", "https://")):
        return _check_http(storage)
    found = f"{storage.server} is not checked, because opening it could create tables"
    return Finding(_CHECK, "warning", found, "run `raygenre models`, which reports whether it can be read")


def _check_database(storage: Storage, path: Path, schemas: Collection[str]) -> Finding:
    facts: dict[str, object] = {"uri": storage.server}
    if not path.exists():
        return Finding(_CHECK, "ok", f"nothing has been logged to {storage.server} yet", "", facts)
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_LOCK_TIMEOUT)
        ) as database:
            revisions = {revision for (revision,) in database.execute("SELECT version_num FROM alembic_version")}
            [runs] = database.execute("SELECT count(*) FROM runs").fetchone()
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            found = f"{storage.server} is locked by a process that is writing to it"
            return Finding(_CHECK, "warning", found, "run `raygenre doctor` again in a moment", facts)
        remedy = f"restore the file from a backup, or {_CHOOSE}"
        return Finding(_CHECK, "problem", f"{storage.server} cannot be read: {error}", remedy, facts)
    facts |= {"runs": runs, "schema": sorted(revisions)}
    found = f"{storage.server}, with {runs} {'run' if runs == 1 else 'runs'}"
    if revisions - {*schemas}:
        meaning = f"{found}, has the schema of an MLflow version with which raygenre is not tested"
        remedy = f"if commands fail, back the file up and run `mlflow db upgrade {storage.server}`"
        return Finding(_CHECK, "warning", meaning, remedy, facts)
    return Finding(_CHECK, "ok", found, "", facts)


def _check_http(storage: Storage) -> Finding:
    import requests

    exempt_loopback()
    facts: dict[str, object] = {"uri": storage.server}
    user, password = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    verify: str | bool = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("1", "true"):
        verify = False
    try:
        answer = requests.get(
            storage.tracking_uri.rstrip("/") + _ROUTE,
            params={"experiment_name": EXPERIMENT},
            auth=(user, password) if user and password else None,
            headers={"Authorization": f"Bearer {token}"} if token and not user else None,
            verify=verify,
            timeout=_TIMEOUT,
        )
    except (requests.RequestException, OSError) as error:
        found = f"{storage.server} cannot be reached: {request_reason(error)}"
        return Finding(_CHECK, "problem", found, f"start the server, or {_CHOOSE}", facts)
    facts["status"] = answer.status_code
    if any(mark in answer.text for mark in _ANSWERS):
        return Finding(_CHECK, "ok", f"{storage.server} responds", "", facts)
    return Finding(_CHECK, "problem", f"{storage.server}: {_refusal(answer.status_code, answer.text)}", _CHOOSE, facts)


def _refusal(status: int, text: str) -> str:
    """Explain the response of a server that refused the request."""
    if UNKNOWN_HOST in text:
        return HOST_REJECTED
    codes = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED"}
    if status in codes:
        return REMEDIES[codes[status]]
    is_other = status in (200, 404)
    meaning = "this is not the address of an MLflow server" if is_other else "the server responds with an error"
    return f"{meaning} ({status}){page_note(text)}"
