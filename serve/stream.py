"""Streamed answers: each window is classified while the song is still being decoded."""

import asyncio
import base64
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from raygenre.spectrogram.image import write_plain_png
from serve.admission.deadline import Deadline
from serve.admission.uploaded_file import UploadedFile
from serve.answer import windows_of
from serve.errors import RefusalError
from serve.inference.live_models import LiveModel
from serve.model_inputs import same
from serve.reading import Reading
from serve.schema import Answer, StreamedWindow, Window
from serve.service import Service

Piece = StreamedWindow | Answer


class Stream:
    """The answer for one file in pieces: its windows in order, then the whole answer.

    The work starts at once, in a separate task. A client that reads slowly therefore neither delays the work nor
    occupies a prediction slot after the work is done.

    Args:
        release: function to call when the file is no longer needed.
        pictures: whether to include pictures of the windows if the model's input is levels.

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
        self._pieces: asyncio.Queue[tuple[Window, NDArray[Any] | None] | Answer | Exception] = asyncio.Queue()
        self._work = asyncio.ensure_future(self._run())
        self._work.add_done_callback(lambda _: release())

    async def next(self) -> Piece:
        """Wait for the next piece.

        Raises:
            RefusalError: 415, 422, 429 or 503; see `Service.predict`.
            Exception: the model failed.
        """
        piece = await self._pieces.get()
        if isinstance(piece, Exception):
            raise piece
        if isinstance(piece, Answer):
            return piece
        window, levels = piece
        if levels is None:
            return StreamedWindow(**dict(window))
        picture = await asyncio.to_thread(write_plain_png, levels)
        return StreamedWindow(**dict(window), picture=base64.b64encode(picture).decode())

    async def close(self) -> None:
        """Stop the work if it is still in progress."""
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
        """Queue the windows until the song is complete, and return the whole answer."""
        champion, challenger = self._service.choose(self.deadline)
        groups = [[champion]]
        if challenger:
            shared = same(champion.input, challenger.input)
            groups = [[challenger, champion]] if shared else [[challenger], [champion]]
        readings = [Reading(self._service, models, self._file, self.deadline) for models in groups]
        try:
            last = -1
            for reading in readings:
                async for part, prediction in reading.parts():
                    has_pictures = self._pictures and reading.kind.name == "levels"
                    for window, levels in zip(windows_of(part, prediction), part.windows, strict=bool(part.times)):
                        if window.number > last:  # was not already sent before the challenger failed
                            self._pieces.put_nowait((window, levels if has_pictures else None))
                            last = window.number
                if not reading.has_failed:
                    break
            return await self._whole(champion, challenger, readings)
        finally:
            await asyncio.gather(*(reading.close() for reading in readings))

    async def _whole(self, champion: LiveModel, challenger: LiveModel | None, readings: list[Reading]) -> Answer:
        """Wait for the rest of the work, and return the whole answer.

        Args:
            readings: the file's readings; the last one includes the champion.
        """
        first, last = readings[0], readings[-1]
        song = await last.song
        if challenger is None or await first.is_refused():  # only the champion can use the file
            prediction = last.whole(champion)
            if isinstance(prediction, Exception):
                raise prediction
            return self._service.answer(prediction, song, champion, self._request_id)
        other = await first.song
        chosen, prediction = self._service.decide(champion, challenger, first.whole(challenger), last.whole(champion))
        return self._service.answer(prediction, song if chosen is champion else other, chosen, self._request_id)
