"""The HTTP routes of jobs."""

import re
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from serve.admission.upload import is_form, read_files
from serve.errors import RefusalError
from serve.jobs.callback import MAX_URL_CHARACTERS
from serve.jobs.jobs import Jobs
from serve.jobs.schema import Job
from serve.service import Service
from serve.web import openapi_extras

PATH = "/v1/jobs"
_ID = re.compile(r"[0-9a-f]{32}")


def protected(refuse_json: Callable[[Request], Awaitable[None]]) -> APIRouter:
    """Return the routes, which require an API key.

    Args:
        refuse_json: dependency that refuses a JSON body.
    """
    router = APIRouter(prefix=PATH)

    @router.post(
        "",
        status_code=202,
        response_model=Job,
        dependencies=[Depends(refuse_json)],
        responses=openapi_extras.JOB_RESPONSES,
        openapi_extra=openapi_extras.API_KEY | openapi_extras.JOB_BODY,
    )
    async def create_job(
        request: Request,
        callback: Annotated[
            str,
            Query(
                max_length=MAX_URL_CHARACTERS,
                pattern="^[!-~]*$",  # URLs are ASCII
                description="HTTPS URL to which the finished job is sent as a POST; only hosts that the operator has "
                "listed are allowed.",
            ),
        ] = "",
    ) -> Response:
        """Accept a song, or a form of files, and classify it later.

        Use this for audio that is longer than `/v1/predict` accepts, or if you do not want to wait. The response names
        the job's path in `Location`. Anyone with an API key who knows a job's id can read and delete it.
        """
        service: Service = request.app.state.service
        jobs: Jobs = request.app.state.jobs
        await jobs.check(callback)
        with service.bodies.reservation() as reservation:
            async with service.uploads.slot() as upload:
                files = await read_files(request, jobs.limits, reservation, upload)
            request.state.facts.update(bytes=reservation.bytes, files=len(files))
            request_id = request.state.request_id
            job = await jobs.create(files, is_form=is_form(request), callback_url=callback, request_id=request_id)
        request.state.facts["job"] = job.id
        location = f"{request.scope.get('root_path', '').rstrip('/')}{PATH}/{job.id}"
        headers = {"Location": location, "Retry-After": str(jobs.limits.retry_after)}
        return Response(job.model_dump_json(), 202, headers, "application/json")

    @router.get(
        "/{job_id}",
        response_description="The job.",
        responses=openapi_extras.JOB_STATUS_RESPONSES,
        openapi_extra=openapi_extras.API_KEY,
    )
    async def get_job(job_id: str, request: Request, response: Response) -> Job:
        """Return a job, with its result once it is done.

        While it is not, `Retry-After` says in how many seconds to ask again.
        """
        jobs: Jobs = request.app.state.jobs
        job = await jobs.get(_checked(job_id))
        if job.finished_at is None:
            response.headers["Retry-After"] = str(jobs.limits.retry_after)
        return job

    @router.delete(
        "/{job_id}",
        status_code=204,
        response_description="The job was deleted.",
        responses=openapi_extras.JOB_STATUS_RESPONSES,
        openapi_extra=openapi_extras.API_KEY,
    )
    async def delete_job(job_id: str, request: Request) -> Response:
        """Delete a job, its files and its result; if it is running, it is stopped."""
        jobs: Jobs = request.app.state.jobs
        await jobs.delete(_checked(job_id))
        return Response(status_code=204)

    return router


def _checked(job_id: str) -> str:
    if not _ID.fullmatch(job_id):
        raise RefusalError(404, "there is no such job; an id has 32 hexadecimal digits")
    return job_id
