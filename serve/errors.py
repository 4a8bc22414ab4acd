"""Error responses as problem details (RFC 9457)."""

from http import HTTPStatus

from fastapi.responses import JSONResponse

from raygenre.errors import RaygenreError
from serve.schema import FileError, Problem

MEDIA_TYPE = "application/problem+json"


class RefusalError(RaygenreError):
    """The endpoint refuses a request.

    Attributes:
        status: HTTP status.
        detail: message that tells the client what is wrong with the request.
        headers: additional headers of the response.
        errors: the errors of all files, if the request is a form with several files.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        headers: dict[str, str] | None = None,
        errors: list[FileError] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}
        self.errors = errors


def problem(
    status: int,
    detail: str,
    request_id: str,
    headers: dict[str, str] | None = None,
    errors: list[FileError] | None = None,
    *,
    path: str,
) -> JSONResponse:
    """Return a response with problem details.

    Args:
        path: path of the request; below `/v2`, the response also has the member `error`, which clients of the Open
            Inference Protocol read.
    """
    title = HTTPStatus(status).phrase
    body = Problem(title=title, status=status, detail=detail, request_id=request_id, errors=errors)
    if "/v2/" in f"{path}/":
        body.error = detail
    return JSONResponse(body.model_dump(exclude_none=True), status, headers, MEDIA_TYPE)
