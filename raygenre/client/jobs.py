"""Types for the endpoint's jobs, with the fields of its OpenAPI document."""

from datetime import datetime
from typing import Literal

from raygenre.client.answers import Answer, Part


class FileError(Part):
    """The reason why one file in a form has no prediction.

    Attributes:
        index: index of the file in the form.
        file: name of the file in the form; empty if it has none.
        status: HTTP status that a request with only this file would have received.
        detail: what is wrong with the file.
    """

    index: int
    file: str
    status: int
    detail: str


class Answers(Part):
    """The genres of the files in a form.

    Attributes:
        predictions: one answer per file, in order; None for a file in `errors`.
        errors: the files without a prediction, in order.
    """

    predictions: tuple[Answer | None, ...]
    errors: tuple[FileError, ...]


class JobError(Part):
    """The reason why a job has failed.

    Attributes:
        status: HTTP status that the request would have received from `/v1/predict`.
        detail: what is wrong.
        errors: the errors of all files if the job has several files; otherwise None.
    """

    status: int
    detail: str
    errors: tuple[FileError, ...] | None = None


class Job(Part):
    """A job, with its result once it has finished.

    Attributes:
        id: id of the job.
        status: `done` if there is a result, `failed` if there is an error.
        created_at: when the job was accepted.
        started_at: when a replica first started the job; None while the job is waiting.
        finished_at: when the job finished; None until then.
        expires_at: when the job will be deleted; None until it has finished.
        seconds: duration of the audio decoded so far, in s.
        result: an `Answer`, or `Answers` if the job was submitted as a form; None if there is no result.
        error: why the job has failed; None if it has not.
    """

    id: str
    status: Literal["queued", "running", "done", "failed"]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    seconds: float
    result: Answer | Answers | None
    error: JobError | None = None

    @property
    def is_finished(self) -> bool:
        """Whether the job has a result or an error."""
        return self.finished_at is not None
