"""A client for the endpoint, sync and async: typed answers, retries, streaming.

    from raygenre.client import Client

    with Client("http://localhost:8000") as client:
        print(client.predict("song.mp3").genre)

Importing this package imports httpx and pydantic, but neither torch, Ray nor MLflow.
"""

from raygenre.client.answers import Answer, ModelFacts, ModelName, PretrainedFacts, TrainedOn, Window
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
from raygenre.client.retries import Retries

__all__ = [
    "AddressError",
    "Answer",
    "AsyncClient",
    "Client",
    "ClientError",
    "ModelFacts",
    "ModelName",
    "NoAnswerError",
    "NoModelError",
    "PretrainedFacts",
    "RefusedError",
    "Retries",
    "TrainedOn",
    "UnexpectedAnswerError",
    "UnreachableError",
    "Window",
]
