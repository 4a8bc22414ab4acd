"""Turns refusals, and the errors of FastAPI and Starlette, into problem details."""

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from serve.errors import RefusalError, problem

HANDLED: tuple[type[Exception], ...] = (RefusalError, HTTPException, RequestValidationError)
"""The errors that `handle` turns into responses."""


async def handle(request: Request, error: Exception) -> Response:
    """Return the response for an error."""
    request_id, path = request.state.request_id, request.scope["path"]
    if isinstance(error, RefusalError):
        return problem(error.status, error.detail, request_id, error.headers, error.errors, path=path)
    if isinstance(error, HTTPException):
        return problem(error.status_code, str(error.detail), request_id, dict(error.headers or {}), path=path)
    assert isinstance(error, RequestValidationError)
    detail = "; ".join(f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors())
    return problem(422, detail, request_id, path=path)
