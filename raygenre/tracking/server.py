"""The MLflow server, or database, that runs are written to: how to reach it, and what its errors mean.

An error means one of three things. The server is *away*: it refuses connections, does not answer in time, answers
429 or 5xx, or its database is locked; what was to be written must wait. The address is *wrong*: there is no such name,
no MLflow behind it, or no permission. Everything else *refuses* the very thing that was sent.
"""

import contextlib
import errno
import logging
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import requests
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from raygenre.errors import RaygenreError
from raygenre.system.redaction import masked
from raygenre.system.storage import Storage

EXPERIMENT = "raygenre"
TrackingError = MlflowException
"""What MLflow raises when its server or database does not do what was asked."""

_NO_RETRIES = {
    # One try of a call, since those who call here try again themselves. 30 s are longer than the 20 s for which MLflow
    # waits for a lock of its own SQLite database.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    # The end of a run costs one call less, and is not printed.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_UNREACHABLE = (
    "TEMPORARILY_UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "REQUEST_LIMIT_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "ABORTED",
    "CANCELLED",
    "INTERNAL_ERROR",
)
_WRONG = ("UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED", "PERMISSION_DENIED", "ENDPOINT_NOT_FOUND", "NOT_FOUND")
_WRONG_PLACES = (
    requests.exceptions.SSLError,
    requests.exceptions.TooManyRedirects,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
)
_NO_PLACE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT)  # for an artifact, on this machine
_NOT_MLFLOW = "not in a valid JSON format"  # a page where an answer should be
_UNFIT = ("readonly database", "unable to open database file", "is not a database")


_UNKNOWN_HOST = "Invalid Host header"
_REMEDIES = {
    "PERMISSION_DENIED": "the user may not do that there (403); MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD "
    f"must be those of one who may edit the experiment {EXPERIMENT} and the model of the same name",
    "UNAUTHENTICATED": "there is no such user, or the password is another (401); set MLFLOW_TRACKING_USERNAME and "
    "MLFLOW_TRACKING_PASSWORD",
}


class TrackingAddressError(RaygenreError, ValueError):
    """There is no MLflow at the address, or it may not be used; the message says which."""


class TrackingUnreachableError(RaygenreError, RuntimeError):
    """MLflow does not answer; the message says what is kept where, and how to go on."""


class Server:
    """Where runs are written to. Nothing is sent before it is asked for something.

    Attributes:
        uri: of the tracking server, or of the database.
    """

    def __init__(self, storage: Storage) -> None:
        quiet_mlflow()
        self.uri = storage.tracking_uri
        self._storage = storage
        self._client: MlflowClient | None = None
        self._experiment = ""

    @property
    def client(self) -> MlflowClient:
        """MLflow's own client; making one for a database makes the database too."""
        if self._client is None:
            if self.uri.startswith("sqlite:"):
                self._storage.root.mkdir(parents=True, exist_ok=True)
            self._client = MlflowClient(self.uri, registry_uri=self.uri)
        return self._client

    @property
    def experiment_id(self) -> str:
        """Of the experiment `raygenre`, which is made where it is missing."""
        if not self._experiment:
            self._experiment = self._found() or self._made()
        return self._experiment

    def forget(self) -> None:
        """Look the experiment up again: it may have been taken away."""
        self._experiment = ""

    def _found(self) -> str:
        experiment = self.client.get_experiment_by_name(EXPERIMENT)
        return str(experiment.experiment_id) if experiment else ""

    def _made(self) -> str:
        try:
            return str(self.client.create_experiment(EXPERIMENT, artifact_location=self._storage.artifact_uri))
        except MlflowException:  # another search made it in the meantime
            if found := self._found():
                return found
            raise


def meaning(error: BaseException) -> Literal["unreachable", "wrong", "refused"]:
    """Say what an error of a call to MLflow means."""
    for cause in _chain(error):
        if isinstance(cause, _WRONG_PLACES) or "NameResolutionError" in repr(cause):
            return "wrong"
        if isinstance(cause, ImportError) or (isinstance(cause, OSError) and cause.errno in _NO_PLACE):
            return "refused"
        if isinstance(cause, OSError):  # all of requests' errors are
            return "unreachable"
    if isinstance(error, MlflowException):
        if error.error_code in _WRONG or any(part in str(error) for part in (_NOT_MLFLOW, *_UNFIT)):
            return "wrong"
        return "unreachable" if error.error_code in _UNREACHABLE else "refused"
    return "wrong" if any(part in str(error) for part in _UNFIT) else "unreachable"


def unauthenticated(error: BaseException) -> bool:
    """Whether the server does not know the user, or the user's password is another."""
    return isinstance(error, MlflowException) and error.error_code == "UNAUTHENTICATED"


def is_unreachable(error: BaseException) -> bool:
    """Whether something failed because MLflow is away."""
    ours = isinstance(error, MlflowException | requests.exceptions.RequestException)
    return isinstance(error, TrackingUnreachableError) or (ours and meaning(error) == "unreachable")


def is_missing(error: BaseException) -> bool:
    """Return whether MLflow answered that the run, model, version or alias does not exist."""
    return isinstance(error, MlflowException) and error.error_code == "RESOURCE_DOES_NOT_EXIST"


def reason(error: BaseException) -> str:
    """Say in a few words what went wrong."""
    known = {
        "NameResolutionError": "its name is not known",
        "Connection refused": "connection refused",
        "timed out": "no answer in time",
        "too many 5": "it answers with an error of its own",
        "too many 4": "it answers that it is too busy",
        "database is locked": "the database is locked",
        "NewConnectionError": "no connection",
        "RemoteDisconnected": "it closed the connection",
    }
    text = " ".join(repr(cause) for cause in _chain(error))
    if _UNKNOWN_HOST in text:
        return (
            "it does not go by this name (403); start it with `--allowed-hosts` and the host and port of this address, "
            "or use one that it allows"
        )
    if isinstance(error, MlflowException) and error.error_code in _REMEDIES:
        return _REMEDIES[error.error_code]
    first = (str(error).strip() or repr(error)).splitlines()[0]
    return next((words for part, words in known.items() if part in text), masked(first)[:300])


@dataclass
class _Within:
    """How many threads are within `no_retries`, and the variables that it has set for them."""

    depth: int = 0
    ours: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


_within = _Within()


@contextlib.contextmanager
def no_retries() -> Iterator[None]:
    """Have MLflow try every call once, and for half a minute at most, unless the environment says otherwise.

    MLflow has no other place for this than the environment, which processes started meanwhile inherit, and which all
    threads share: the first one in sets it, and the last one out restores it.
    """
    with _within.lock:
        if not _within.depth:
            _within.ours = {name: value for name, value in _NO_RETRIES.items() if name not in os.environ}
            os.environ.update(_within.ours)
        _within.depth += 1
    try:
        yield
    finally:
        with _within.lock:
            _within.depth -= 1
            if not _within.depth:
                for name in _within.ours:
                    os.environ.pop(name, None)


def quiet_mlflow() -> None:
    """Leave a command's own lines readable: MLflow reports each step of making a database or fetching a file."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # a page for each time a database is locked


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
