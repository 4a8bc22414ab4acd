"""One replica's work on a request: decode the files, classify them, build the answers."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import torch

from raygenre.model.classifier import Prediction
from raygenre.spectrogram.song import Song
from raygenre.system.storage import resolve
from serve.admission.api_keys import KeyRing, Keys
from serve.admission.limits import Limits
from serve.admission.prediction_slots import PredictionSlots
from serve.admission.upload import MemoryBudget
from serve.admission.upload_slots import UploadSlots
from serve.errors import RefusalError
from serve.inference.batching import Batcher
from serve.inference.decoder_pool import DecoderPool
from serve.inference.live_models import LiveModel, LiveModels
from serve.monitoring import logs
from serve.monitoring.metrics import Metrics
from serve.schema import Answer, Window
from serve.settings import Settings


class Service:
    """The components of one replica.

    Attributes:
        settings, limits, keys, metrics, predictions, uploads, memory, decoders, models: see their modules.
    """

    def __init__(self, settings: Settings, keys: Keys) -> None:
        torch.set_num_threads(1)  # several batches on one thread each are faster than one batch on several threads
        self.settings = settings
        self.limits = Limits.of(settings)
        self.keys = KeyRing(keys, settings.api_keys_file)
        self.metrics = Metrics()
        self.predictions = PredictionSlots(self.limits, self.metrics)
        self.uploads = UploadSlots(self.limits)
        self.memory = MemoryBudget(self.limits)
        self.decoders = DecoderPool(settings.decoders, self.metrics, self.limits)
        self.models = LiveModels(resolve(settings.storage, settings.tracking_uri), settings, self.metrics)
        self._batcher = Batcher(settings.batch, self.metrics, threads=settings.threads)

    def watch(self) -> None:
        """Start polling for new model versions and API keys."""
        self.models.watch()
        self.keys.watch(self.settings.poll_seconds)

    async def predict(self, files: list[bytes], request_id: str) -> list[Answer]:
        """Return one answer per file, in order.

        Raises:
            RefusalError: 415 or 422 if any file is unusable; 429 if too many predictions are in progress.
        """
        champion, challenger = self.models.choose()  # once per request, so that one model answers all files in a form
        with self.predictions.slot():
            work = [self._predict(file, champion, challenger, request_id) for file in files]
            return await _gather(work, name_files=len(files) > 1)

    async def _predict(self, file: bytes, champion: LiveModel, challenger: LiveModel | None, request_id: str) -> Answer:
        song = await self.decoders.song(file)
        if challenger:
            model, prediction = await self._compare(champion, challenger, song)
        else:
            model, prediction = champion, await self._classify(champion, song)
        name = model.fetched.name
        self.metrics.prediction(prediction.genre, uncertain=prediction.uncertain, model=name)
        self.models.record_input(model, song.levels)
        return _answer(prediction, song, model, request_id)

    async def _compare(self, champion: LiveModel, challenger: LiveModel, song: Song) -> tuple[LiveModel, Prediction]:
        """Run both models; return the challenger's prediction, or the champion's if the challenger fails."""
        predictions: list[tuple[LiveModel, Prediction]] = []
        for model in (challenger, champion):
            try:
                predictions.append((model, await self._classify(model, song)))
            except Exception as error:
                logs.error("model gave no answer", error, model=model.fetched.name)
                if model is champion and not predictions:
                    raise
        outcome = "failed"
        if len(predictions) == 2:
            outcome = str(predictions[0][1].genre == predictions[1][1].genre).lower()
        self.metrics.agreement(outcome, model=challenger.fetched.name, champion=champion.fetched.name)
        return predictions[0]

    async def _classify(self, model: LiveModel, song: Song) -> Prediction:
        started = time.perf_counter()
        rows = await self._batcher(model.fetched.classifier, song.levels)
        self.metrics.model(model.fetched.name, time.perf_counter() - started)
        return model.fetched.classifier.combine_windows(rows)


async def _gather(work: list[Coroutine[Any, Any, Answer]], *, name_files: bool) -> list[Answer]:
    """Await all answers; the first refusal cancels the other tasks and, with `name_files`, names the refused file."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in work]
    try:
        for number, task in enumerate(tasks, start=1):
            try:
                await task
            except RefusalError as error:
                prefix = f"file {number} of {len(tasks)}: " if name_files else ""
                raise RefusalError(error.status, prefix + error.detail, error.headers) from error
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return [task.result() for task in tasks]


def _answer(prediction: Prediction, song: Song, model: LiveModel, request_id: str) -> Answer:
    windows = []
    timed_windows = zip(song.numbers, song.times, prediction.windows, strict=bool(song.times))
    for number, (start, end), probabilities in timed_windows:
        genre = max(probabilities, key=lambda name: probabilities[name])
        windows.append(
            Window(
                number=number,
                start=start,
                end=end,
                genre=genre,
                confidence=probabilities[genre],
                probabilities=dict(probabilities),
            )
        )
    return Answer(
        genre=prediction.genre,
        confidence=prediction.confidence,
        uncertain=prediction.uncertain,
        probabilities=dict(prediction.probabilities),
        windows=windows,
        model=model.name,
        request_id=request_id,
    )
