"""Classifies and explains the errors of requests to MLflow.

`meaning` sorts errors into three kinds. *unreachable*: the server refuses connections, times out or responds with 429
or 5xx, or its database is locked; updates stay queued. *wrong*: the host does not exist or does not run MLflow, or the
user lacks permission. *refused*: MLflow rejected this particular request.

Importing this module also imports MLflow, which takes more than a second; importing `server` does not.
"""

import errno
from typing import Literal

import requests
from mlflow.exceptions import MlflowException

from raygenre.errors import RaygenreError
from raygenre.tracking.reasons import chain, request_reason
from raygenre.tracking.retries import TrackingUnreachableError

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
    """Return a short explanation of why a request to MLflow failed and what to do about it."""
    return request_reason(error, code=error.error_code if isinstance(error, MlflowException) else "")
