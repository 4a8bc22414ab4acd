"""Storages with an MLflow database.

The database is copied, because MLflow takes several seconds to create one.
"""

import shutil
import tempfile
from functools import cache
from pathlib import Path

from raygenre.system.storage import Storage, resolve
from raygenre.tracking.server import Server


@cache
def _database() -> Path:
    """Return the path of an empty database, which is created once per process."""
    storage = resolve(tempfile.mkdtemp(prefix="raygenre-database-"))
    Server(storage).client.search_experiments()
    return storage.root / "mlflow.db"


def empty_storage(root: Path) -> Storage:
    """Return a storage with an empty database; RAYGENRE_STORAGE and MLFLOW_TRACKING_URI must be unset."""
    root.mkdir(parents=True, exist_ok=True)
    shutil.copy(_database(), root)
    return resolve(root)
