"""What a replica does for a request, without HTTP: admit it, decode, classify, within its time."""

import asyncio
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from raygenre.model.classifier import Prediction
from raygenre.spectrogram.song import Song
from raygenre.system.storage import resolve
from serve.admission.api_keys import KeyRing, Keys
from serve.admission.upload import MemoryBudget
from serve.admission.upload_slots import MOST, UploadSlots
from serve.errors import RefusalError
from serve.inference.batching import Batcher
from serve.inference.decoder_pool import Decoder
from serve.inference.live_models import LiveModel, Models
from serve.monitoring import logs
from serve.monitoring.metrics import Metrics
from serve.schema import Answer, Window
from serve.settings import Settings


class Service:
    """The parts of one replica, put together.

    Attributes:
        settings, keys, arrivals, held, decoder, models, metrics: as their modules say.
    """

    def __init__(self, settings: Settings, keys: Keys) -> None:
        torch.set_num_threads(1)  # several batches at a time, each on one thread, answer more than one on several
        self.settings = settings
        self.keys = KeyRing(keys, settings.api_keys_file)
        self.metrics = Metrics()
        self.arrivals = UploadSlots(MOST, settings.retry_after)
        self.held = MemoryBudget(settings.most_held_bytes, settings.retry_after)
        self.decoder = Decoder(
            settings.decoders,
            self.metrics,
            longest_seconds=settings.most_seconds,
            patience=settings.request_seconds + 5,
            retry_after=settings.retry_after,
        )
        self.models = Models(resolve(settings.storage, settings.tracking_uri), settings, self.metrics)
        self._forward = Batcher(settings.batch, self.metrics, threads=settings.threads)
        self._working = 0

    def watch(self) -> None:
        """Begin to look for new versions and keys."""
        self.models.watch()
        self.keys.watch(self.settings.poll_seconds)

    @property
    def wait(self) -> dict[str, str]:
        """The header that tells a client when to come again."""
        return {"Retry-After": str(self.settings.retry_after)}

    def check_room(self) -> None:
        """See whether one more prediction may begin.

        Raises:
            RefusalError: 429.
        """
        if self._working >= self.settings.queue_length:
            raise RefusalError(429, "too many predictions are under way; try again", self.wait)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count a prediction while it is under way.

        Raises:
            RefusalError: 429.
        """
        self.check_room()
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        self._working += change
        self.metrics.working(self._working)

    async def predict(self, files: list[bytes], request_id: str) -> list[Answer]:
        """Answer for each file, in order.

        Raises:
            RefusalError: 415 or 422, which one of several files says for all.
        """
        champion, challenger = self.models.choose()  # once, so that all files of a form are answered by one
        with self.working():
            work = [self._predict(file, champion, challenger, request_id) for file in files]
            return await _all(work, named=len(files) > 1)

    async def _predict(self, file: bytes, champion: LiveModel, challenger: LiveModel | None, request_id: str) -> Answer:
        song = await self.decoder.song(file)
        if challenger:
            loaded, prediction = await self._compare(champion, challenger, song)
        else:
            loaded, prediction = champion, await self._classify(champion, song)
        name = loaded.fetched.name
        self.metrics.prediction(prediction.genre, uncertain=prediction.uncertain, model=name)
        self.models.saw(loaded, song.levels)
        return _answer(prediction, song, loaded, request_id)

    async def _compare(self, champion: LiveModel, challenger: LiveModel, song: Song) -> tuple[LiveModel, Prediction]:
        """Ask both models; the challenger's answer counts, and if it has none the champion's."""
        found: list[tuple[LiveModel, Prediction]] = []
        for loaded in (challenger, champion):
            try:
                found.append((loaded, await self._classify(loaded, song)))
            except Exception as error:
                logs.error("model gave no answer", error, model=loaded.fetched.name)
                if loaded is champion and not found:
                    raise
        outcome = "failed"
        if len(found) == 2:
            outcome = str(found[0][1].genre == found[1][1].genre).lower()
        self.metrics.agreement(outcome, model=challenger.fetched.name, champion=champion.fetched.name)
        return found[0]

    async def _classify(self, loaded: LiveModel, song: Song) -> Prediction:
        started = time.perf_counter()
        rows = await self._forward(loaded.fetched.classifier, song.levels)
        self.metrics.model(loaded.fetched.name, time.perf_counter() - started)
        return loaded.fetched.classifier.combine_windows(rows)


async def _all(work: list[Coroutine[Any, Any, Answer]], *, named: bool) -> list[Answer]:
    """Await all; the first refusal ends the others and, if they are several, says which file it is about."""
    tasks = [asyncio.ensure_future(part) for part in work]
    try:
        for number, task in enumerate(tasks, start=1):
            try:
                await task
            except RefusalError as error:
                place = f"file {number} of {len(tasks)}: " if named else ""
                raise RefusalError(error.status, place + error.detail, error.headers) from error
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return [task.result() for task in tasks]


def _answer(prediction: Prediction, song: Song, loaded: LiveModel, request_id: str) -> Answer:
    windows = []
    heard = zip(song.numbers, song.times, prediction.windows, strict=bool(song.times))
    for number, (start, end), probabilities in heard:
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
        model=loaded.name,
        request_id=request_id,
    )
