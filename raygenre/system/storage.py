"""The storage: the folder that contains all data, located by the same rule in every command.

A command-line option takes precedence over the environment (`RAYGENRE_STORAGE`, `MLFLOW_TRACKING_URI`), which
takes precedence over the default (`./results` with an SQLite database in it). The storage may also be a URL (see
`raygenre.system.location`). In that case, studies are stored at the URL, an MLflow tracking server is required, and the
local folder contains only caches and working copies.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from raygenre.errors import RaygenreError, file_errors
from raygenre.system.location import Location, is_url
from raygenre.system.redaction import masked

DEFAULT_FOLDER = Path("results")
DATABASE, ARTIFACTS = "mlflow.db", "artifacts"
"""Names in the storage folder: MLflow's embedded database, and its artifacts unless a server stores them."""
EXPERIMENT = "raygenre"
"""Name of the experiment in MLflow that contains all runs."""

_SERVERS = ("http", "databricks")


class StorageError(RaygenreError, ValueError):
    """The storage cannot be used as configured."""


@dataclass(frozen=True)
class Storage:
    """A storage's folders, all under the absolute path `root`.

    Attributes:
        root: the storage folder.
        tracking_uri: the MLflow tracking server, or the SQLite database in the folder. It may contain a password.
        url: the URL where studies are stored; empty if they are in the folder.
    """

    root: Path
    tracking_uri: str
    url: str = ""

    def __str__(self) -> str:
        """The value to pass to --storage."""
        return self.url or str(self.root)

    @property
    def cache(self) -> Path:
        """The folder with decoded data sets."""
        return self.root / "cache"

    @property
    def studies(self) -> Location:
        """The folder with the studies; each study has a subfolder with Optuna's journal, the split and checkpoints."""
        return Location(str(self)) / "studies"

    @property
    def server(self) -> str:
        """`tracking_uri` without credentials, for display."""
        return masked(self.tracking_uri)

    @property
    def database(self) -> Path | None:
        """The file of the tracking database if it is an SQLite database."""
        return sqlite_file(self.tracking_uri)

    @property
    def has_runs(self) -> bool:
        """False if the tracking database is a file that does not exist yet; MLflow would create the file on access."""
        if self.database is None:
            return True
        with file_errors("the tracking database cannot be read"):
            return self.database.exists()

    @property
    def artifact_uri(self) -> str | None:
        """URI of MLflow's artifact folder if MLflow uses a database directly; None if a server determines the URI."""
        return None if self.tracking_uri.startswith(_SERVERS) else (self.root / ARTIFACTS).as_uri()


def resolve(folder: str | os.PathLike[str] | None = None, tracking_uri: str | None = None) -> Storage:
    """Return the storage that this module's rule determines, without creating anything.

    Args:
        folder: a path or a URL.

    Raises:
        StorageError: the path exists and is not a folder, its name is unsuitable for the tracking database, or a URL is
            given without a tracking server.
        FileAccessError: the path cannot be read.
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
    with file_errors("the storage cannot be read"):
        root = Path(text).expanduser().resolve()
        is_other_file = root.exists() and not root.is_dir()
    if is_other_file:
        raise StorageError(f"the storage {root} is not a folder; choose a folder with --storage or RAYGENRE_STORAGE")
    if uri:
        return Storage(root, uri)
    uri = f"sqlite:///{root / DATABASE}"
    # If decoding changes the path, MLflow cannot open the file: SQLAlchemy decodes the address, but MLflow creates the
    # folder without decoding it.
    if sqlite_file(uri) != root / DATABASE:
        raise StorageError(
            f"the path of the storage {root} contains '?' or a percent sign with two hexadecimal digits, which are "
            "not allowed in the address of its database; rename the folder, or choose a different one with --storage "
            "or RAYGENRE_STORAGE"
        )
    return Storage(root, uri)


def sqlite_file(uri: str) -> Path | None:
    """Return the file that SQLAlchemy opens for an SQLite tracking URI; None for any other URI."""
    prefix = "sqlite:///"
    return Path(unquote(uri.removeprefix(prefix).partition("?")[0])) if uri.startswith(prefix) else None
