"""Storages that hold MLflow's database already: MLflow takes seconds to make one, and a copy takes a moment."""

import shutil
import tempfile
from functools import cache
from pathlib import Path

from raygenre.system.storage import Storage, resolve
from raygenre.tracking.server import Server


@cache
def _database() -> Path:
    """An empty database, made once a process."""
    storage = resolve(tempfile.mkdtemp(prefix="raygenre-database-"))
    Server(storage).client.search_experiments()
    return storage.root / "mlflow.db"


def empty_storage(root: Path) -> Storage:
    """Return a storage whose database is there and holds nothing; the environment names no other."""
    root.mkdir(parents=True, exist_ok=True)
    shutil.copy(_database(), root)
    return resolve(root)
