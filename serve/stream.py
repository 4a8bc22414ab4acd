"""Streamed answers: each window is classified while the song is still being decoded."""

import asyncio
import base64
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from raygenre.inputs.kind import Song
from raygenre.model.classifier import Prediction
from raygenre.spectrogram.image import write_plain_png
from serve.admission.deadline import Deadline
from serve.admission.uploaded_file import UploadedFile
from serve.errors import RefusalError
from serve.inference.live_models import LiveModel
from serve.schema import Answer, StreamedWindow
from serve.service import Service, windows_of

Piece = StreamedWindow | Answer
_Rows = NDArray[np.float32]


class Stream:
    """The answer to one file in pieces: its windows, in order, and the whole answer last.

    The work starts at once, in a task of its own, so that a client that reads slowly does not delay it and occupies no
    slot for predictions once it is done.

    Args:
        release: function to call when the file is no longer needed.
        pictures: whether the windows have pictures.

    Attributes:
        deadline: time limit for the work.
    """

    def __init__(
        self,
        service: Service,
        file: UploadedFile,
        request_id: str,
        *,
        deadline: Deadline,
        release: Callable[[], object],
        pictures: bool,
    ) -> None:
        self.deadline = deadline
        self._service, self._file, self._request_id, self._pictures = service, file, request_id, pictures
        self._pieces: asyncio.Queue[tuple[Song, Prediction] | Answer | Exception] = asyncio.Queue()
        self._work = asyncio.ensure_future(self._run())
        self._work.add_done_callback(lambda _: release())

    async def next(self) -> Piece:
        """Wait for the next piece.

        Raises:
            RefusalError: 415, 422, 429 or 503, as for `Service.predict`.
            Exception: the model failed.
        """
        piece = await self._pieces.get()
        if isinstance(piece, Exception):
            raise piece
        if isinstance(piece, Answer):
            return piece
        song, prediction = piece
        [window] = windows_of(song, prediction)
        if not self._pictures:
            return StreamedWindow(**dict(window))
        picture = await asyncio.to_thread(write_plain_png, song.windows[0])
        return StreamedWindow(**dict(window), picture=base64.b64encode(picture).decode())

    async def close(self) -> None:
        """End the work, if it is still going on."""
        self._work.cancel()
        await asyncio.gather(self._work, return_exceptions=True)

    async def _run(self) -> None:
        try:
            with self._service.predictions.slot():
                self._pieces.put_nowait(await self._answer_in_time())
        except Exception as error:  # noqa: BLE001 (`next` raises it)
            self._pieces.put_nowait(error)

    async def _answer_in_time(self) -> Answer:
        try:
            async with self.deadline.limit():
                return await self._classify()
        except RefusalError as error:
            self._service.metrics.refused_file(error.status)
            raise

    async def _classify(self) -> Answer:
        """Put the pieces into the queue until the song is complete, and return the whole answer."""
        champion, challenger = self._service.models.choose()
        models = [_Model(self._service, model) for model in (challenger, champion) if model]
        decoded: asyncio.Queue[Song | None] = asyncio.Queue()

        def classify(window: Song) -> None:
            for model in models:
                model.start(window)
            decoded.put_nowait(window)

        decoding = asyncio.ensure_future(
            self._service.decoders.song(self._file.data, self.deadline.add_audio, classify)
        )
        decoding.add_done_callback(lambda _: decoded.put_nowait(None))
        try:
            while window := await decoded.get():
                results = [await model.result() for model in models]
                known = next((result for result in results if isinstance(result, Prediction)), None)
                if known and window.times:
                    self._pieces.put_nowait((window, known))
            song = await decoding
        finally:
            decoding.cancel()
            await asyncio.gather(decoding, *(model.close() for model in models), return_exceptions=True)
        if challenger:
            chosen, prediction = self._service.decide(champion, challenger, models[0].whole(), models[1].whole())
        else:
            chosen, whole = champion, models[0].whole()
            if isinstance(whole, Exception):
                raise whole
            prediction = whole
        return self._service.answer(prediction, song, chosen, self._request_id)


class _Model:
    """A model that classifies the windows of one song as they come."""

    def __init__(self, service: Service, model: LiveModel) -> None:
        self._service, self._model = service, model
        self._tasks: list[asyncio.Future[_Rows]] = []
        self._rows: list[_Rows] = []
        self._error: Exception | None = None

    def start(self, window: Song) -> None:
        """Start to classify the next window."""
        self._tasks.append(asyncio.ensure_future(self._service.probabilities(self._model, window)))

    async def result(self) -> Prediction | Exception:
        """Wait for the prediction for the next window, or return the first error."""
        if self._error:
            return self._error
        try:
            rows = await self._tasks[len(self._rows)]
        except Exception as error:  # noqa: BLE001 (the other model may have an answer)
            self._error = error
            return error
        self._rows.append(rows)
        return self._model.fetched.classifier.combine_windows(rows)

    def whole(self) -> Prediction | Exception:
        """Return the prediction for the song, or the first error."""
        return self._error or self._model.fetched.classifier.combine_windows(np.concatenate(self._rows))

    async def close(self) -> None:
        """End the work on all windows."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
