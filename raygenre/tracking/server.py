"""The connection to the MLflow server or database, and what its errors mean.

`meaning` sorts errors into three kinds. *unreachable*: the server refuses connections, times out or responds with 429
or 5xx, or its database is locked; updates stay queued. *wrong*: the host does not exist or does not run MLflow, or the
user lacks permission. *refused*: MLflow rejected this particular request.
"""

import errno
import logging
import os
from typing import Literal

import requests
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from raygenre.errors import RaygenreError
from raygenre.system.moved_storage import Move, follow_move
from raygenre.system.proxies import exempt_loopback
from raygenre.system.storage import EXPERIMENT as EXPERIMENT
from raygenre.system.storage import Storage
from raygenre.tracking.reasons import chain, request_reason
from raygenre.tracking.retries import TrackingUnreachableError as TrackingUnreachableError
from raygenre.tracking.retries import no_retries as no_retries

TrackingError = MlflowException
"""The error that MLflow raises when a request fails."""

_UNREACHABLE_CODES = (
    "TEMPORARILY_UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "REQUEST_LIMIT_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "ABORTED",
    "CANCELLED",
    "INTERNAL_ERROR",
)
_WRONG_CODES = ("UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED", "PERMISSION_DENIED", "ENDPOINT_NOT_FOUND", "NOT_FOUND")
_WRONG_ADDRESS = (
    requests.exceptions.SSLError,
    requests.exceptions.TooManyRedirects,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
)
_NO_ACCESS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT)  # errors of a local artifact folder
_NOT_MLFLOW = "not in a valid JSON format"  # the server sent an HTML page instead of MLflow's JSON
_UNUSABLE_DATABASE = ("readonly database", "unable to open database file", "is not a database")


class TrackingAddressError(RaygenreError, ValueError):
    """There is no MLflow server at the tracking address, or the user has no access to it."""


class Server:
    """The tracking server or database, and its experiment `raygenre`.

    Creating a `Server` sends no request, but exempts loopback addresses from proxies in this process.

    Attributes:
        uri: tracking URI of the server or database.
        address: `uri` without a password, for messages.
    """

    def __init__(self, storage: Storage) -> None:
        quiet_mlflow()
        exempt_loopback()
        self.uri = storage.tracking_uri
        self.address = storage.server
        self._storage = storage
        self._client: MlflowClient | None = None
        self._move: Move | None = None
        self._experiment = ""

    @property
    def client(self) -> MlflowClient:
        """MLflow's client; the first use creates the SQLite database if it is missing, and follows a moved storage.

        Raises:
            StorageError: the storage was moved, but a search is still using its old path.
        """
        if self._client is None:
            if move := follow_move(self._storage):
                logging.getLogger(__name__).warning("%s", move)
            self._move = move
            if self.uri.startswith("sqlite:"):
                self._storage.root.mkdir(parents=True, exist_ok=True)
            self._client = MlflowClient(self.uri, registry_uri=self.uri)
        return self._client

    @property
    def experiment_id(self) -> str:
        """Id of the experiment `raygenre`; the first use creates it if it is missing."""
        if not self._experiment:
            self._experiment = self._find_experiment() or self._create_experiment()
        return self._experiment

    def artifacts(self, uri: str) -> str:
        """Return the current URI of artifacts; it differs from the recorded one if a moved storage is read-only."""
        return self._move.current(uri) if self._move else uri

    def forget_experiment(self) -> None:
        """Forget the experiment's id, so that the next use looks it up again; someone may have deleted it."""
        self._experiment = ""

    def _find_experiment(self) -> str:
        experiment = self.client.get_experiment_by_name(EXPERIMENT)
        return str(experiment.experiment_id) if experiment else ""

    def _create_experiment(self) -> str:
        try:
            return str(self.client.create_experiment(EXPERIMENT, artifact_location=self._storage.artifact_uri))
        except MlflowException:  # another search created it in the meantime
            if experiment_id := self._find_experiment():
                return experiment_id
            raise


def meaning(error: BaseException) -> Literal["unreachable", "wrong", "refused"]:
    """Classify the error of a request to MLflow as one of the three kinds."""
    for cause in chain(error):
        if isinstance(cause, _WRONG_ADDRESS) or "NameResolutionError" in repr(cause):
            return "wrong"
        if isinstance(cause, ImportError) or (isinstance(cause, OSError) and cause.errno in _NO_ACCESS):
            return "refused"
        if isinstance(cause, OSError):  # includes all errors of the requests library
            return "unreachable"
    if isinstance(error, MlflowException):
        if error.error_code in _WRONG_CODES or any(part in str(error) for part in (_NOT_MLFLOW, *_UNUSABLE_DATABASE)):
            return "wrong"
        return "unreachable" if error.error_code in _UNREACHABLE_CODES else "refused"
    return "wrong" if any(part in str(error) for part in _UNUSABLE_DATABASE) else "unreachable"


def unauthenticated(error: BaseException) -> bool:
    """Return whether the server rejected the user name or password."""
    return isinstance(error, MlflowException) and error.error_code == "UNAUTHENTICATED"


def is_unreachable(error: BaseException) -> bool:
    """Return whether an error means that MLflow is unreachable."""
    ours = isinstance(error, MlflowException | requests.exceptions.RequestException)
    return isinstance(error, TrackingUnreachableError) or (ours and meaning(error) == "unreachable")


def is_missing(error: BaseException) -> bool:
    """Return whether MLflow responded that the run, model, version or alias does not exist."""
    return isinstance(error, MlflowException) and error.error_code == "RESOURCE_DOES_NOT_EXIST"


def reason(error: BaseException) -> str:
    """Return a few words that say why a request to MLflow failed and what to do about it."""
    return request_reason(error, code=error.error_code if isinstance(error, MlflowException) else "")


def quiet_mlflow() -> None:
    """Silence MLflow's progress bars, and its log messages about each step of creating a database."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # logs a page if the database is locked
