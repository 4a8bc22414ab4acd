"""Handles requests in one replica: decodes files, classifies them and builds the answers."""

import asyncio
import time
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from raygenre.inputs.kind import InputKind, Song
from raygenre.model.classifier import Prediction
from raygenre.system.storage import resolve
from raygenre.tracking.server import Server
from serve.admission.api_keys import KeyRing, Keys
from serve.admission.bodies import BodyStore, Content
from serve.admission.deadline import Deadline
from serve.admission.limits import Limits
from serve.admission.prediction_slots import PredictionSlots
from serve.admission.upload_slots import UploadSlots
from serve.admission.uploaded_file import UploadedFile
from serve.answer import answer
from serve.errors import RefusalError
from serve.inference.batching import Batcher
from serve.inference.decoder_pool import DecoderPool
from serve.inference.live_models import LiveModel, LiveModels
from serve.inference.tagger import installed_tagger
from serve.model_inputs import Reader, inputs_of
from serve.monitoring import logs
from serve.monitoring.metrics import Metrics
from serve.schema import Answer
from serve.settings import Settings
from serve.tag_schema import TagAnswer

T = TypeVar("T")


class Service:
    """The components of one replica.

    Attributes:
        settings, limits, keys, metrics, predictions, uploads, bodies, decoders, models: see their modules.
        tagger: predicts tags with the pretrained network; None if the network is not installed.
    """

    def __init__(self, settings: Settings, keys: Keys) -> None:
        torch.set_num_threads(1)  # several batches with one thread each are faster than one batch with several threads
        self.settings = settings
        self.limits = Limits.of(settings)
        self.keys = KeyRing(keys, settings.api_keys_file)
        self.metrics = Metrics()
        self.predictions = PredictionSlots(self.limits, self.metrics)
        self.uploads = UploadSlots(self.limits)
        self.bodies = BodyStore(self.limits, settings.upload_folder)
        self.decoders = DecoderPool(settings.decoders, self.metrics, self.limits)
        device = torch.device("cuda" if settings.replica_gpus else "cpu")
        self.tagger = installed_tagger(settings.pretrained_folder, device)
        server = Server(resolve(settings.storage, settings.tracking_uri))
        self.models = LiveModels(server, settings, self.metrics, champion_required=self.tagger is None)
        self._batcher = Batcher(settings.batch, self.metrics, threads=settings.threads)

    @property
    def window_kind(self) -> InputKind:
        """The kind of input that determines the windows in the answers."""
        if self.tagger and not self.models.has_champion:
            return self.tagger.kind
        return self.models.champion.input

    def watch(self) -> None:
        """Start polling for new model versions and API keys."""
        self.models.watch()
        self.keys.watch(self.settings.poll_seconds)

    async def predict(
        self, files: Sequence[UploadedFile | Song], request_id: str, *, deadline: Deadline, version: str = ""
    ) -> list[Answer | RefusalError]:
        """Return an answer or a refusal (415, 422 or 503) for each file, in order.

        Args:
            files: uploaded files, or the levels of pictures.
            deadline: time limit; a file that has no answer by then gets a 503.
            version: version of the model that should answer; empty for the champion or the challenger.

        Raises:
            RefusalError: 429 if too many predictions are in progress, 404 if the version is not being served.
        """
        # The models are chosen once per request, so that the same model classifies all files in a form.
        champion, challenger = self.choose(deadline, version)
        with self.predictions.slot():
            work = [self._predict(file, champion, challenger, request_id, deadline) for file in files]
            outcomes = await outcomes_until(deadline, work)
        for outcome in outcomes:
            if isinstance(outcome, RefusalError):
                self.metrics.refused_file(outcome.status)
        return outcomes

    def choose(self, deadline: Deadline, version: str = "") -> tuple[LiveModel, LiveModel | None]:
        """Return the champion, and the challenger if it should answer; extend the deadline for slow inputs.

        Args, Raises: see `LiveModels.choose`.
        """
        champion, challenger = self.models.choose(version)
        if any(model.input.weights_sha256 for model in (champion, challenger) if model):
            deadline.expect_features()
        return champion, challenger

    async def tag(
        self, files: Sequence[UploadedFile], request_id: str, *, deadline: Deadline
    ) -> list[TagAnswer | RefusalError]:
        """Return the pretrained network's tags or a refusal for each file, in order.

        Raises:
            RefusalError: 429 if too many predictions are in progress, 404 if the network is not installed.
        """
        if self.tagger is None:
            raise RefusalError(404, "this server cannot predict tags: run `raygenre pretrained install` on its machine")
        deadline.expect_features()
        with self.predictions.slot():
            outcomes = await outcomes_until(deadline, [self._tag(file, request_id, deadline) for file in files])
        for outcome in outcomes:
            if isinstance(outcome, RefusalError):
                self.metrics.refused_file(outcome.status)
        return outcomes

    async def _tag(self, file: UploadedFile, request_id: str, deadline: Deadline) -> TagAnswer:
        assert self.tagger
        song = await self.decoders.read(file.data, self.tagger, deadline.add_audio)
        self.metrics.tagged()
        return self.tagger.answer(song, request_id)

    async def _predict(
        self,
        file: UploadedFile | Song,
        champion: LiveModel,
        challenger: LiveModel | None,
        request_id: str,
        deadline: Deadline,
    ) -> Answer:
        def read(data: Content, kind: InputKind) -> Awaitable[Song]:
            return self.decoders.song(data, deadline.add_audio, kind)

        return await self.answer_file(file, champion, challenger, request_id, read)

    async def answer_file(
        self,
        file: UploadedFile | Song,
        champion: LiveModel,
        challenger: LiveModel | None,
        request_id: str,
        read: Reader,
    ) -> Answer:
        """Return the answer for a file, or for the levels of a picture, with models from `models.choose`.

        Raises:
            RefusalError: 415 or 422 if the file is unusable, 503 if the system killed the decoder.
            BatchError: the models failed.
        """
        song, other = await inputs_of(file, champion, challenger, read)
        if challenger and other:
            model, prediction = await self._compare(champion, challenger, song, other)
            song = song if model is champion else other
        else:
            model, prediction = champion, await self._classify(champion, song)
        return self.answer(prediction, song, model, request_id)

    def answer(self, prediction: Prediction, song: Song, model: LiveModel, request_id: str) -> Answer:
        """Count a song's prediction in the metrics, and build the answer from the prediction."""
        name = model.fetched.name
        self.metrics.prediction(prediction.genre, uncertain=prediction.uncertain, model=name)
        self.models.record_input(model, song)
        return answer(prediction, song, model, request_id)

    async def _compare(
        self, champion: LiveModel, challenger: LiveModel, song: Song, other: Song
    ) -> tuple[LiveModel, Prediction]:
        """Run both models in parallel; return the challenger's prediction unless that model fails.

        Args:
            song: the champion's input.
            other: the challenger's input.
        """
        work = (self._classify(challenger, other), self._classify(champion, song))
        first, second = await asyncio.gather(*work, return_exceptions=True)
        return self.decide(champion, challenger, first, second)

    def decide(
        self,
        champion: LiveModel,
        challenger: LiveModel,
        first: Prediction | BaseException,
        second: Prediction | BaseException,
    ) -> tuple[LiveModel, Prediction]:
        """Return the model whose prediction is used, and that prediction; record whether the two models agree.

        Args:
            first: the challenger's prediction, or its error.
            second: the champion's prediction, or its error.

        Raises:
            Exception: the champion's error, if both models failed.
        """
        for model, result in ((challenger, first), (champion, second)):
            if isinstance(result, BaseException):
                logs.error("model gave no answer", result, model=model.fetched.name)
        if isinstance(first, BaseException) and isinstance(second, BaseException):
            raise second
        outcome = "failed"
        if isinstance(first, Prediction) and isinstance(second, Prediction):
            outcome = str(first.genre == second.genre).lower()
        self.metrics.agreement(outcome, model=challenger.fetched.name, champion=champion.fetched.name)
        if isinstance(first, Prediction):
            return challenger, first
        assert isinstance(second, Prediction)
        return champion, second

    async def _classify(self, model: LiveModel, song: Song) -> Prediction:
        return model.fetched.classifier.combine_windows(await self.probabilities(model, song))

    async def probabilities(self, model: LiveModel, song: Song) -> NDArray[np.float32]:
        """Return the probabilities (W, G) of a song's windows."""
        started = time.perf_counter()
        rows = await self._batcher(model.fetched.classifier, song.windows)
        self.metrics.model(model.fetched.name, time.perf_counter() - started)
        return rows


async def outcomes_until(deadline: Deadline, work: Sequence[Coroutine[Any, Any, T]]) -> list[T | RefusalError]:
    """Return each file's answer or refusal, in order; files that have no answer by the deadline get a 503."""
    tasks = [asyncio.ensure_future(_outcome(coroutine)) for coroutine in work]
    try:
        pending = set(tasks)
        while pending and (seconds := deadline.remaining):  # the deadline may have been extended in the meantime
            done, pending = await asyncio.wait(pending, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()  # raises an unexpected error at once
        return [deadline.late() if task in pending else task.result() for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _outcome(work: Coroutine[Any, Any, T]) -> T | RefusalError:
    """Await an answer; return a refusal instead of raising it, so that it does not affect the other files."""
    try:
        return await work
    except RefusalError as error:
        return error
