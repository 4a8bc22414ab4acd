"""Checks that the storage exists, can be read and written, and has not been moved."""

import os

from raygenre.errors import RaygenreError
from raygenre.system.check_machine import existing_parent
from raygenre.system.finding import Finding
from raygenre.system.moved_storage import find_move
from raygenre.system.printable import printable
from raygenre.system.redaction import masked
from raygenre.system.storage import ARTIFACTS, DATABASE, Storage

_CHECK = "storage"
_CHOOSE = "choose another with --storage or RAYGENRE_STORAGE"


def check_storage(storage: Storage) -> Finding:
    """Check the folder or URL of a storage. Nothing is created or changed."""
    if storage.url:
        return _check_url(storage)
    try:
        return _check_folder(storage)
    except OSError as error:
        return Finding(_CHECK, "problem", f"{printable(storage.root)} cannot be read: {error.strerror}", _CHOOSE)


def _check_url(storage: Storage) -> Finding:
    facts = {"url": masked(str(storage))}
    try:
        storage.studies.check_access()
    except (RaygenreError, OSError) as error:
        remedy = f"check the address, the credentials and the network, or {_CHOOSE}"
        return Finding(_CHECK, "problem", f"{storage}: {error}", remedy, facts)
    return Finding(_CHECK, "ok", str(storage), "", facts)


def _check_folder(storage: Storage) -> Finding:
    root, name = storage.root, printable(storage.root)
    facts: dict[str, object] = {"folder": name, "exists": root.exists()}
    if not root.exists():
        parent = existing_parent(root)
        if not os.access(parent, os.W_OK | os.X_OK):
            found = f"{name} does not exist, and {printable(parent)} cannot be written"
            return Finding(_CHECK, "problem", found, f"change the folder's permissions, or {_CHOOSE}", facts)
        remedy = f"`make tune` creates it; if it should exist, {_CHOOSE}"
        return Finding(_CHECK, "warning", f"{name} does not exist yet", remedy, facts)
    needed = {root: os.R_OK | os.W_OK | os.X_OK, root / DATABASE: os.R_OK | os.W_OK}
    needed |= dict.fromkeys((storage.studies.folder, root / ARTIFACTS, storage.cache), os.R_OK | os.W_OK | os.X_OK)
    for path, mode in needed.items():
        if path.exists() and not os.access(path, mode):
            verb = "written" if os.access(path, mode & ~os.W_OK) else "read"
            remedy = f"change its permissions or how its disk is mounted, or {_CHOOSE}"
            return Finding(_CHECK, "problem", f"{printable(path)} cannot be {verb}", remedy, facts)
    studies = sum(path.is_dir() for path in storage.studies.folder.glob("*"))
    facts["studies"] = studies
    found = f"{name}, with {studies} {'study' if studies == 1 else 'studies'}"
    if move := find_move(storage):
        facts["moved_from"] = printable(move.old)
        meaning = f"{found}; it was moved or copied from {printable(move.old)}, which its database still names"
        remedy = "`raygenre ui`, or the next search or promotion, rewrites the addresses"
        return Finding(_CHECK, "warning", meaning, remedy, facts)
    return Finding(_CHECK, "ok", found, "", facts)
