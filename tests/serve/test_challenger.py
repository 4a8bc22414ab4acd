"""What a challenger does to answers: it gives them, or nothing worse than the champion does."""

import asyncio
from typing import cast

import numpy as np
import pytest

from raygenre.model.classifier import Prediction
from raygenre.spectrogram.song import Song
from serve.inference.batching import ForwardError
from serve.inference.live_models import LiveModel
from serve.monitoring.metrics import Metrics
from serve.service import Service

SONG = Song(np.ones((1, 128, 333), dtype=np.uint8), ((0.0, 30.0),), (0,))


class Named:
    """A model with a name and nothing else."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def fetched(self) -> "Named":
        return self


class Counted:
    """What was counted of challengers."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []

    def agreement(self, agree: str, *, model: str, champion: str) -> None:
        self.seen.append((agree, model, champion))


class Judged(Service):
    """A service whose models name a genre, or fail."""

    def __init__(self, genres: dict[str, str | None]) -> None:
        self.counted = Counted()
        self.metrics = cast(Metrics, self.counted)
        self._genres = genres

    async def _classify(self, loaded: LiveModel, song: Song) -> Prediction:
        genre = self._genres[loaded.fetched.name]
        if genre is None:
            raise ForwardError("it fails")
        return Prediction(genre, 1.0, False, {genre: 1.0}, ({genre: 1.0},))


def compare(service: Judged) -> tuple[str, str]:
    models = (cast(LiveModel, Named("m/1")), cast(LiveModel, Named("m/2")))
    loaded, prediction = asyncio.run(service._compare(*models, SONG))
    return loaded.fetched.name, prediction.genre


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
    service = Judged({"m/1": champion, "m/2": challenger})
    assert compare(service) == answer
    assert service.counted.seen == [(outcome, "m/2", "m/1")]


def test_without_either_there_is_no_answer() -> None:
    with pytest.raises(ForwardError):
        compare(Judged({"m/1": None, "m/2": None}))
