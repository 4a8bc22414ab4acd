"""The challenger's answer is returned, or the champion's answer if the challenger fails."""

import asyncio
from typing import cast

import numpy as np
import pytest

from raygenre.inputs.kind import Song
from raygenre.model.classifier import Prediction
from serve.inference.batching import BatchError
from serve.inference.live_models import LiveModel
from serve.monitoring.metrics import Metrics
from serve.service import Service

SONG = Song(np.ones((1, 128, 333), dtype=np.uint8), ((0.0, 30.0),), (0,))


class FakeModel:
    """A model that has only a name."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def fetched(self) -> "FakeModel":
        return self


class FakeMetrics:
    """Challenger metrics without Ray."""

    def __init__(self) -> None:
        self.agreements: list[tuple[str, str, str]] = []

    def agreement(self, agree: str, *, model: str, champion: str) -> None:
        self.agreements.append((agree, model, champion))


class FakeService(Service):
    """A service whose models return a fixed genre or fail, once `meet` of them have been asked."""

    def __init__(self, genres: dict[str, str | None], *, meet: int = 1) -> None:
        self.fake_metrics = FakeMetrics()
        self.metrics = cast(Metrics, self.fake_metrics)
        self._genres = genres
        self._barrier = asyncio.Barrier(meet)

    async def _classify(self, model: LiveModel, song: Song) -> Prediction:
        await self._barrier.wait()
        genre = self._genres[model.fetched.name]
        if genre is None:
            raise BatchError("it fails")
        return Prediction(genre, 1.0, False, {genre: 1.0}, ({genre: 1.0},))


def compare(service: FakeService) -> tuple[str, str]:
    models = (cast(LiveModel, FakeModel("m/1")), cast(LiveModel, FakeModel("m/2")))
    model, prediction = asyncio.run(asyncio.wait_for(service._compare(*models, SONG), 10))
    return model.fetched.name, prediction.genre


@pytest.mark.parametrize(
    ("champion", "challenger", "answer", "outcome"),
    [
        ("rock", "rock", ("m/2", "rock"), "true"),
        ("rock", "jazz", ("m/2", "jazz"), "false"),
        ("rock", None, ("m/1", "rock"), "failed"),
        (None, "jazz", ("m/2", "jazz"), "failed"),
    ],
)
def test_one_of_two_models_is_enough_for_an_answer(
    champion: str | None, challenger: str | None, answer: tuple[str, str], outcome: str
) -> None:
    service = FakeService({"m/1": champion, "m/2": challenger})
    assert compare(service) == answer
    assert service.fake_metrics.agreements == [(outcome, "m/2", "m/1")]


def test_both_models_are_asked_at_the_same_time() -> None:
    assert compare(FakeService({"m/1": "rock", "m/2": "jazz"}, meet=2)) == ("m/2", "jazz")


def test_without_either_model_there_is_no_answer() -> None:
    with pytest.raises(BatchError):
        compare(FakeService({"m/1": None, "m/2": None}))
