"""Errors as problem details, after RFC 9457."""

from http import HTTPStatus

from fastapi.responses import JSONResponse

from raygenre.errors import RaygenreError
from serve.schema import Problem

MEDIA_TYPE = "application/problem+json"


class RefusalError(RaygenreError):
    """A request is not answered as it wished.

    Attributes:
        status: of HTTP.
        detail: what was wrong, in words for whoever sent the request.
        headers: that the answer carries.
    """

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}


def problem(status: int, detail: str, request_id: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Answer with problem details."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, request_id=request_id)
    return JSONResponse(body.model_dump(), status, headers, MEDIA_TYPE)
