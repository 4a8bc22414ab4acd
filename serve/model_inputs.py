"""Computes the inputs for the champion and the challenger, which may be of different kinds."""

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np

from raygenre.inputs.kind import InputKind, Song
from serve.admission.bodies import Content
from serve.admission.uploaded_file import UploadedFile
from serve.errors import RefusalError
from serve.inference.live_models import LiveModel

Reader = Callable[[Content, InputKind], Awaitable[Song]]
"""Returns the model input of the given kind for a file."""


async def inputs_of(
    file: UploadedFile | Song, champion: LiveModel, challenger: LiveModel | None, read: Reader
) -> tuple[Song, Song | None]:
    """Return both models' inputs for a file or for the levels of a picture.

    Identical inputs are computed only once. The challenger's input is None if only the champion can use the file.
    """
    if challenger is None:
        return await _input(file, champion.input, read), None
    if same(champion.input, challenger.input):
        song = await _input(file, champion.input, read)
        return song, song
    work = [_input(file, model.input, read) for model in (champion, challenger)]
    first, second = await asyncio.gather(*work, return_exceptions=True)
    if isinstance(first, BaseException):
        raise first
    if isinstance(second, BaseException) and not isinstance(second, RefusalError):
        raise second
    return first, second if isinstance(second, Song) else None


async def _input(file: UploadedFile | Song, kind: InputKind, read: Reader) -> Song:
    if isinstance(file, UploadedFile):
        return await read(file.data, kind)
    try:
        return Song(np.stack([kind.from_levels(levels) for levels in file.windows]), file.times, file.numbers)
    except ValueError as error:
        raise RefusalError(422, str(error)) from error


def same(kind: InputKind, other: InputKind) -> bool:
    """Return whether two kinds of input produce the same values."""
    return (kind.recipe, kind.weights_sha256) == (other.recipe, other.weights_sha256)
