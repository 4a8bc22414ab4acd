"""Where everything is kept: one folder, found by one rule in every command.

The rule is option, then environment (`RAYGENRE_STORAGE`, `MLFLOW_TRACKING_URI`), then default (`./results`, and the
SQLite database in it).
"""

import os
from dataclasses import dataclass
from pathlib import Path

DEFAULT_FOLDER = Path("results")


@dataclass(frozen=True)
class Storage:
    """The folders of one storage, all under `root`, an absolute path.

    Attributes:
        root: the storage folder.
        tracking_uri: the MLflow tracking server, or the SQLite database in the folder.
    """

    root: Path
    tracking_uri: str

    @property
    def cache(self) -> Path:
        """Decoded data sets."""
        return self.root / "cache"

    @property
    def studies(self) -> Path:
        """A folder a study: Optuna's journal, the split, the training states."""
        return self.root / "studies"

    @property
    def artifact_uri(self) -> str | None:
        """Where MLflow keeps artifacts when it writes to a database itself; a server decides on its own."""
        return None if self.tracking_uri.startswith(("http", "databricks")) else (self.root / "artifacts").as_uri()


def resolve(folder: Path | None = None, tracking_uri: str | None = None) -> Storage:
    """Apply the rule; nothing is created.

    Raises:
        ValueError: the storage path is there and is not a folder.
    """
    root = (folder or Path(os.environ.get("RAYGENRE_STORAGE") or DEFAULT_FOLDER)).expanduser().resolve()
    if root.exists() and not root.is_dir():
        raise ValueError(f"the storage {root} is not a folder; name another with --storage or RAYGENRE_STORAGE")
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root / 'mlflow.db'}"
    return Storage(root, uri)
