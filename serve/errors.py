"""Error responses as problem details (RFC 9457)."""

from http import HTTPStatus

from fastapi.responses import JSONResponse

from raygenre.errors import RaygenreError
from serve.schema import Problem

MEDIA_TYPE = "application/problem+json"


class RefusalError(RaygenreError):
    """The endpoint refuses a request.

    Attributes:
        status: HTTP status.
        detail: message that tells the client what is wrong with the request.
        headers: additional headers of the response.
    """

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}


def problem(status: int, detail: str, request_id: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return a response with problem details."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, request_id=request_id)
    return JSONResponse(body.model_dump(), status, headers, MEDIA_TYPE)
