"""The storage: the folder that holds all data, located by the same rule in every command.

The rule is option, then environment (`RAYGENRE_STORAGE`, `MLFLOW_TRACKING_URI`), then default (`./results`, and an
SQLite database in it). The storage may also be a URL, see `raygenre.system.location`: then studies are kept at that
URL, an MLflow tracking server is required, and the local folder only holds caches and working copies.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from raygenre.errors import RaygenreError
from raygenre.system.location import Location, is_url
from raygenre.system.redaction import masked

DEFAULT_FOLDER = Path("results")
_SERVERS = ("http", "databricks")


class StorageError(RaygenreError, ValueError):
    """The storage cannot be used as configured."""


@dataclass(frozen=True)
class Storage:
    """The folders of a storage, all under `root`, an absolute path.

    Attributes:
        root: the storage folder.
        tracking_uri: the MLflow tracking server, or the SQLite database in the folder; it may contain a password.
        url: where studies are kept, if not in the folder.
    """

    root: Path
    tracking_uri: str
    url: str = ""

    def __str__(self) -> str:
        """The value to pass to --storage."""
        return self.url or str(self.root)

    @property
    def cache(self) -> Path:
        """The folder of decoded data sets."""
        return self.root / "cache"

    @property
    def studies(self) -> Location:
        """The folder of studies; each has a subfolder with Optuna's journal, the split and checkpoints."""
        return Location(str(self)) / "studies"

    @property
    def server(self) -> str:
        """`tracking_uri` without credentials, for display."""
        return masked(self.tracking_uri)

    @property
    def has_runs(self) -> bool:
        """False if the tracking database is a file that does not exist, which MLflow would create on access."""
        uri = self.tracking_uri
        return not uri.startswith("sqlite:///") or Path(uri.removeprefix("sqlite:///")).exists()

    @property
    def artifact_uri(self) -> str | None:
        """Where MLflow stores artifacts if it writes to a database itself; None if a server decides."""
        return None if self.tracking_uri.startswith(_SERVERS) else (self.root / "artifacts").as_uri()


def resolve(folder: str | os.PathLike[str] | None = None, tracking_uri: str | None = None) -> Storage:
    """Return the storage that the module's rule gives; creates nothing.

    Args:
        folder: a path or a URL.

    Raises:
        StorageError: the path exists and is not a folder, or a URL is given without a tracking server.
    """
    text = os.fspath(folder or os.environ.get("RAYGENRE_STORAGE") or DEFAULT_FOLDER)
    if text.startswith("file://"):
        text = unquote(text.removeprefix("file://"))
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if is_url(text):
        if not uri or not uri.startswith(_SERVERS):
            raise StorageError(
                f"the storage {masked(text)} is a URL, which cannot hold MLflow's database; set a tracking server "
                "with --tracking-uri or MLFLOW_TRACKING_URI"
            )
        return Storage(Location(text).folder, uri, text)
    root = Path(text).expanduser().resolve()
    if root.exists() and not root.is_dir():
        raise StorageError(f"the storage {root} is not a folder; set another with --storage or RAYGENRE_STORAGE")
    return Storage(root, uri or f"sqlite:///{root / 'mlflow.db'}")
