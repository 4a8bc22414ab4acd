"""Explains in a few words why a request to MLflow failed; does not import MLflow."""

from collections.abc import Iterator

from raygenre.system.proxies import page_note, request_note
from raygenre.system.redaction import masked
from raygenre.system.storage import EXPERIMENT

UNKNOWN_HOST = "Invalid Host header"
HOST_REJECTED = "the server rejected the Host header (403); start it with --allowed-hosts NAME:PORT"
REMEDIES = {
    "PERMISSION_DENIED": "permission denied (403): the user of MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD "
    f"needs EDIT on the experiment {EXPERIMENT} and on the model of the same name",
    "UNAUTHENTICATED": "authentication failed (401): unknown user or wrong password; set MLFLOW_TRACKING_USERNAME and "
    "MLFLOW_TRACKING_PASSWORD",
}
_REASONS = {
    "Tunnel connection failed": "the proxy rejected the connection",
    "NameResolutionError": "cannot resolve the host name",
    "Connection refused": "connection refused",
    "timed out": "the request timed out",
    "too many 5": "the server responds with errors (5xx)",
    "too many 4": "the server is too busy",
    "database is locked": "the database is locked",
    "NewConnectionError": "cannot connect",
    "RemoteDisconnected": "the server closed the connection",
}
"""Messages, keyed by a part of the error's text; the first match applies."""


def request_reason(error: BaseException, *, code: str = "") -> str:
    """Return a short explanation of why a request failed and what to do about it.

    Args:
        code: MLflow's error code; empty if MLflow did not return one.
    """
    text = " ".join(repr(cause) for cause in chain(error))
    if UNKNOWN_HOST in text:
        return HOST_REJECTED
    if code in REMEDIES:
        words = REMEDIES[code]
    else:
        first_line = (str(error).strip() or repr(error)).splitlines()[0]
        words = next((words for part, words in _REASONS.items() if part in text), masked(first_line)[:300])
    request = next((request for cause in chain(error) if (request := getattr(cause, "request", None))), None)
    return words + (request_note(str(request.url)) if request else page_note(text))


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and the errors that caused it."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
