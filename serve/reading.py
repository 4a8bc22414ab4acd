"""Decodes a file for models with the same kind of input, and classifies it part by part."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import numpy as np
from numpy.typing import NDArray

from raygenre.inputs.kind import InputKind, Song
from raygenre.model.classifier import Prediction
from serve.admission.deadline import Deadline
from serve.admission.uploaded_file import UploadedFile
from serve.errors import RefusalError
from serve.inference.live_models import LiveModel
from serve.service import Service

_Rows = NDArray[np.float32]


class Reading:
    """A file that is read as one kind of input, in a separate task that starts immediately.

    Args:
        models: models with this kind of input, the preferred one first.

    Attributes:
        kind: the kind of input.
        song: future for the whole input; awaiting it raises a RefusalError if the file cannot be used.
    """

    def __init__(self, service: Service, models: Sequence[LiveModel], file: UploadedFile, deadline: Deadline) -> None:
        self.kind: InputKind = models[0].input
        self._service, self._file, self._deadline = service, file, deadline
        self._classifications = [_Classification(service, model) for model in models]
        self._classified: asyncio.Queue[tuple[Song, Prediction] | None] = asyncio.Queue()
        self.song = asyncio.ensure_future(self._read())
        self.song.add_done_callback(lambda _: self._classified.put_nowait(None))

    async def parts(self) -> AsyncIterator[tuple[Song, Prediction]]:
        """Yield each part of the song with the prediction of the first model that has not failed.

        Iteration stops at the end of the song, or earlier if the file turns out to be unusable or all models fail.
        """
        while classified := await self._classified.get():
            yield classified

    @property
    def has_failed(self) -> bool:
        """Whether the preferred model failed; this is known only after `parts` has ended."""
        return self.song.exception() is not None or isinstance(self._classifications[0].whole(), Exception)

    async def is_refused(self) -> bool:
        """Wait until reading ends, and return whether the file cannot be used as this kind of input."""
        await asyncio.wait([self.song])
        return isinstance(self.song.exception(), RefusalError)

    def whole(self, model: LiveModel) -> Prediction | Exception:
        """Return a model's prediction for the song, or the model's first error, once the song is complete."""
        return next(result.whole() for result in self._classifications if result.model is model)

    async def close(self) -> None:
        """Stop the work if it is still in progress."""
        self.song.cancel()
        await asyncio.gather(self.song, return_exceptions=True)

    async def _read(self) -> Song:
        read: asyncio.Queue[Song | None] = asyncio.Queue()

        def start(part: Song) -> None:
            for classification in self._classifications:
                classification.start(part)
            read.put_nowait(part)

        decoders, on_audio = self._service.decoders, self._deadline.add_audio
        decoding = asyncio.ensure_future(decoders.song(self._file.data, on_audio, self.kind, start))
        decoding.add_done_callback(lambda _: read.put_nowait(None))
        try:
            while part := await read.get():
                results = [await classification.result() for classification in self._classifications]
                known = next((result for result in results if isinstance(result, Prediction)), None)
                if known:
                    self._classified.put_nowait((part, known))
            return await decoding
        finally:
            decoding.cancel()
            work = [classification.close() for classification in self._classifications]
            await asyncio.gather(decoding, *work, return_exceptions=True)


class _Classification:
    """A model's predictions for one song, part by part.

    Attributes:
        model: the model.
    """

    def __init__(self, service: Service, model: LiveModel) -> None:
        self.model = model
        self._service = service
        self._tasks: list[asyncio.Future[_Rows]] = []
        self._rows: list[_Rows] = []
        self._error: Exception | None = None

    def start(self, part: Song) -> None:
        """Start classifying the next part."""
        self._tasks.append(asyncio.ensure_future(self._service.probabilities(self.model, part)))

    async def result(self) -> Prediction | Exception:
        """Return the prediction for the next part once it is ready, or the model's first error."""
        if self._error:
            return self._error
        try:
            rows = await self._tasks[len(self._rows)]
        except Exception as error:  # noqa: BLE001 (the other model may succeed)
            self._error = error
            return error
        self._rows.append(rows)
        return self.model.fetched.classifier.combine_windows(rows)

    def whole(self) -> Prediction | Exception:
        """Return the prediction for the song, or the first error."""
        return self._error or self.model.fetched.classifier.combine_windows(np.concatenate(self._rows))

    async def close(self) -> None:
        """Stop the work on all parts."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
