"""The challenger's answer is returned, or the champion's answer if the challenger fails."""

import asyncio
from typing import cast

import numpy as np
import pytest

from raygenre.audio.synthesis import synthesise
from raygenre.inputs.features import Features
from raygenre.inputs.kind import Song
from raygenre.model.classifier import Classifier, Prediction
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.registry.versions import Fetched
from raygenre.spectrogram.image import write_png
from serve.admission.limits import Limits, LimitSettings
from serve.admission.uploaded_file import UploadedFile
from serve.errors import RefusalError
from serve.inference.batching import BatchError
from serve.inference.decoder_pool import DecoderPool
from serve.inference.live_models import LiveModel
from serve.model_inputs import inputs_of
from serve.monitoring.metrics import Metrics
from serve.service import Service
from tests.helpers.musicnn import small_head
from tests.helpers.sounds import encode

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
    """A service whose models wait until `meet` of them have been called, and then return a fixed genre or fail."""

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
    model, prediction = asyncio.run(asyncio.wait_for(service._compare(*models, SONG, SONG), 10))
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


@pytest.fixture
def models(features: Features) -> dict[str, LiveModel]:
    """A model for levels and two for features."""
    network = GenreCNN(ModelConfig(genres=2, widths=(4, 4, 4), dense=4, crop_columns=96)).eval()
    heads = {name: small_head(features, ("a", "b")) for name in ("head", "other head")}
    classifiers = {"pictures": Classifier(network, ("a", "b"))} | heads
    return {name: LiveModel(Fetched(classifier, name), None) for name, classifier in classifiers.items()}


@pytest.mark.parametrize(
    ("champion", "challenger"), [("pictures", "head"), ("head", "pictures"), ("head", "other head")]
)
def test_each_model_gets_its_own_input_of_a_file(
    ray_cluster: None, models: dict[str, LiveModel], champion: str, challenger: str
) -> None:
    async def inputs(data: bytes) -> tuple[Song, Song | None]:
        file = UploadedFile("", data)
        return await inputs_of(
            file, models[champion], models[challenger], lambda data, kind: service.decoders.song(data, kind=kind)
        )

    service = FakeService({})
    service.limits = Limits.of(LimitSettings())
    service.decoders = DecoderPool(1, Metrics(), service.limits)
    sound, picture = encode(synthesise("bells", seed=0)), write_png(np.ones((128, 333), dtype=np.uint8))
    songs = asyncio.run(inputs(sound))
    kinds = [models[name].input for name in (champion, challenger)]
    for song, kind in zip(songs, kinds, strict=True):
        assert song is not None
        assert np.array_equal(song.windows, kind.read(sound).windows)
    assert (songs[0] is songs[1]) is (kinds[0] is kinds[1])
    if champion == "pictures":  # the only model that can use a picture
        assert asyncio.run(inputs(picture))[1] is None
    else:
        with pytest.raises(RefusalError, match="use the recording"):
            asyncio.run(inputs(picture))
    service.decoders.close()
