"""The connection to the MLflow server or database; its first use imports MLflow."""

import logging
import os
from typing import TYPE_CHECKING

from raygenre.system.moved_storage import Move, follow_move
from raygenre.system.proxies import exempt_loopback
from raygenre.system.storage import EXPERIMENT, Storage

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


class Server:
    """The tracking server or database of a storage, and its experiment `raygenre`.

    An entry point, such as a command, creates one `Server` for all functions that need it. Creating a `Server`
    sends no request, creates no file and does not import MLflow.

    Attributes:
        storage: the storage whose runs and models the server holds.
        uri: tracking URI of the server or database.
        address: `uri` without a password, for messages.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.uri = storage.tracking_uri
        self.address = storage.server
        self._client: MlflowClient | None = None
        self._move: Move | None = None
        self._experiment = ""

    @property
    def client(self) -> "MlflowClient":
        """MLflow's client; the first use creates a missing SQLite database and updates addresses in a moved storage.

        The first use also exempts loopback addresses from proxies in this process.

        Raises:
            StorageError: the storage was moved, but a search is still using its old path.
        """
        if self._client is None:
            from mlflow.tracking import MlflowClient

            _quiet_mlflow()
            exempt_loopback()
            if move := follow_move(self.storage):
                logging.getLogger(__name__).warning("%s", move)
            self._move = move
            if self.uri.startswith("sqlite:"):
                self.storage.root.mkdir(parents=True, exist_ok=True)
            self._client = MlflowClient(self.uri, registry_uri=self.uri)
        return self._client

    @property
    def experiment_id(self) -> str:
        """Id of the experiment `raygenre`; the first use creates the experiment if it is missing."""
        if not self._experiment:
            self._experiment = self._find_experiment() or self._create_experiment()
        return self._experiment

    def artifacts(self, uri: str) -> str:
        """Return the current URI of artifacts, which differs from the recorded URI if a moved storage is read-only."""
        return self._move.current(uri) if self._move else uri

    def forget_experiment(self) -> None:
        """Forget the experiment's id, so that the next use looks it up; the experiment may have been deleted."""
        self._experiment = ""

    def _find_experiment(self) -> str:
        experiment = self.client.get_experiment_by_name(EXPERIMENT)
        return str(experiment.experiment_id) if experiment else ""

    def _create_experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        try:
            return str(self.client.create_experiment(EXPERIMENT, artifact_location=self.storage.artifact_uri))
        except MlflowException:  # another search created it in the meantime
            if experiment_id := self._find_experiment():
                return experiment_id
            raise


def _quiet_mlflow() -> None:
    """Silence MLflow's progress bars, and its log messages about each step of creating a database.

    MLflow sets the levels of its loggers when it is imported, so call this function only after the import.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Otherwise, MLflow logs a page of text whenever the database is locked.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
