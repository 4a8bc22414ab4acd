"""The JSON of jobs, in responses and callbacks."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from serve.schema import EXAMPLES, Answer, Answers, FileError

_JOB: dict[str, JsonValue] = {
    "id": "0f8fad5bd9cb469fa16570867728950e",
    "status": "done",
    "created_at": "2026-01-31T12:00:00Z",
    "started_at": "2026-01-31T12:00:01Z",
    "finished_at": "2026-01-31T12:02:30Z",
    "expires_at": "2026-02-01T12:02:30Z",
    "seconds": 10800.0,
    "result": EXAMPLES["answer"],
}


class JobError(BaseModel):
    """Why a job has failed."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"status": 422, "detail": "the audio lasts 1.2 s; at least 3 s are needed"}}
    )

    status: int = Field(description="HTTP status that the request would have received from `/v1/predict`.")
    detail: str = Field(description="What is wrong.")
    errors: list[FileError] | None = Field(
        default=None, description="The errors of all files, if the job has several files."
    )


class Job(BaseModel):
    """A job, with its result once it has one."""

    model_config = ConfigDict(json_schema_extra={"example": _JOB})

    id: str = Field(description="Id of the job.")
    status: Literal["queued", "running", "done", "failed"] = Field(
        description="`done` if there is a result, `failed` if there is an error."
    )
    created_at: datetime = Field(description="When the job was accepted.")
    started_at: datetime | None = Field(description="When a replica first started it; null while it waits.")
    finished_at: datetime | None = Field(description="When it finished; null until then.")
    expires_at: datetime | None = Field(description="When the job will be deleted; null until it has finished.")
    seconds: float = Field(description="Audio decoded so far, in s.", ge=0)
    result: Answer | Answers | None = Field(description="What `/v1/predict` would have returned; null until then.")
    error: JobError | None = Field(default=None, description="Why the job failed; null if it did not.")
