"""Sync and async clients for the endpoint: typed responses, retries, streaming and jobs.

    from raygenre.client import Client

    with Client("http://localhost:8000") as client:
        print(client.predict("song.mp3").genre)

Importing this package imports httpx and pydantic, but not torch, Ray or MLflow.
"""

from raygenre.client.answers import (
    Answer,
    ModelFacts,
    ModelName,
    PretrainedFacts,
    TagAnswer,
    TagWindow,
    TrainedOn,
    Window,
)
from raygenre.client.async_client import AsyncClient
from raygenre.client.client import Client
from raygenre.client.errors import (
    AddressError,
    ClientError,
    NoAnswerError,
    NoModelError,
    RefusedError,
    UnexpectedAnswerError,
    UnreachableError,
)
from raygenre.client.jobs import Answers, FileError, Job, JobError
from raygenre.client.retries import Retries

__all__ = [
    "AddressError",
    "Answer",
    "Answers",
    "AsyncClient",
    "Client",
    "ClientError",
    "FileError",
    "Job",
    "JobError",
    "ModelFacts",
    "ModelName",
    "NoAnswerError",
    "NoModelError",
    "PretrainedFacts",
    "RefusedError",
    "Retries",
    "TagAnswer",
    "TagWindow",
    "TrainedOn",
    "UnexpectedAnswerError",
    "UnreachableError",
    "Window",
]
