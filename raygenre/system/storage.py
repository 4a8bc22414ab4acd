"""Where everything is kept: one folder, found by one rule in every command.

The rule is option, then environment (`RAYGENRE_STORAGE`, `MLFLOW_TRACKING_URI`), then default (`./results`, and the
SQLite database in it). Studies may be kept at a URL instead, see `raygenre.system.location`; there has to be a tracking
server then, and the folder holds what can be made anew.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from raygenre.system.location import Location, is_url
from raygenre.system.redaction import masked

DEFAULT_FOLDER = Path("results")
_SERVERS = ("http", "databricks")


@dataclass(frozen=True)
class Storage:
    """The folders of one storage, all under `root`, an absolute path.

    Attributes:
        root: the storage folder.
        tracking_uri: the MLflow tracking server, or the SQLite database in the folder; it may hold a password.
        url: where studies are kept if not in the folder.
    """

    root: Path
    tracking_uri: str
    url: str = ""

    def __str__(self) -> str:
        """As it is named with --storage."""
        return self.url or str(self.root)

    @property
    def cache(self) -> Path:
        """Decoded data sets."""
        return self.root / "cache"

    @property
    def studies(self) -> Location:
        """A folder a study: Optuna's journal, the split, the training states."""
        return Location(str(self)) / "studies"

    @property
    def server(self) -> str:
        """`tracking_uri` as it may be shown."""
        return masked(self.tracking_uri)

    @property
    def has_runs(self) -> bool:
        """False where the tracking database is a file that is not there; MLflow would make it to look into it."""
        uri = self.tracking_uri
        return not uri.startswith("sqlite:///") or Path(uri.removeprefix("sqlite:///")).exists()

    @property
    def artifact_uri(self) -> str | None:
        """Where MLflow keeps artifacts when it writes to a database itself; a server decides on its own."""
        return None if self.tracking_uri.startswith(_SERVERS) else (self.root / "artifacts").as_uri()


def resolve(folder: str | os.PathLike[str] | None = None, tracking_uri: str | None = None) -> Storage:
    """Apply the rule; nothing is created.

    Args:
        folder: or a URL.

    Raises:
        ValueError: the storage path is there and is not a folder, or a URL comes without a tracking server.
    """
    text = os.fspath(folder or os.environ.get("RAYGENRE_STORAGE") or DEFAULT_FOLDER)
    if text.startswith("file://"):
        text = unquote(text.removeprefix("file://"))
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if is_url(text):
        if not uri or not uri.startswith(_SERVERS):
            raise ValueError(
                f"the storage {masked(text)} is a URL, which has no place for MLflow's database; name a server "
                "with --tracking-uri or MLFLOW_TRACKING_URI"
            )
        return Storage(Location(text).folder, uri, text)
    root = Path(text).expanduser().resolve()
    if root.exists() and not root.is_dir():
        raise ValueError(f"the storage {root} is not a folder; name another with --storage or RAYGENRE_STORAGE")
    return Storage(root, uri or f"sqlite:///{root / 'mlflow.db'}")
