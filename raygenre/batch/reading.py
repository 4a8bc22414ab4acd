"""The work done on each song: read it from wherever it is stored, decode it and classify it.

Every function returns failures as part of its result, because one bad file must not end a batch.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raygenre.audio.blocks import blocks as audio_blocks
from raygenre.audio.errors import AudioError
from raygenre.audio.tags import Tags, read_tags
from raygenre.batch import execution
from raygenre.batch.errors import BatchError
from raygenre.batch.parquet_songs import contents
from raygenre.batch.stores import Stores
from raygenre.errors import reason_of
from raygenre.inputs.kind import InputKind, Song
from raygenre.model.classifier import Classifier
from raygenre.spectrogram.song import is_image, render
from raygenre.system.regular_file import check_regular
from raygenre.workflows.predict import SongResult, predict_song

_Item = tuple[str, Path | str | bytes]
"""Name of a song, and its path, URL or content."""


@dataclass(frozen=True)
class Decoded:
    """A song that a CPU has decoded for a GPU.

    Attributes:
        windows: the network's input; None if there is an error, or if a GPU is to compute the input.
        samples: float32 (N,) at the sample rate of the input kind, if a GPU is to compute the input; None otherwise.
        error: why the song could not be decoded; empty if there is no error.
    """

    tags: Tags = field(default_factory=Tags)
    windows: Song | None = None
    samples: NDArray[np.float32] | None = None
    error: str = ""


@dataclass(frozen=True)
class Predict:
    """Decodes and classifies a song, exactly as `raygenre.workflows.predict` does."""

    classifier: Classifier
    stores: Stores
    longest_seconds: float

    def __call__(self, item: _Item) -> SongResult:
        name, file = item
        try:
            with self.stores.local_copy(file, name) as path:
                return predict_song(self.classifier, path, longest_seconds=self.longest_seconds)
        except (OSError, ValueError) as error:
            return self.failure(error)

    @staticmethod
    def failure(error: Exception) -> SongResult:
        """Return the result for a song that cannot be processed."""
        return SongResult(Path(), None, (), reason_of(error))


@dataclass(frozen=True)
class Decode:
    """Decodes a song for a GPU."""

    kind: InputKind
    stores: Stores
    longest_seconds: float

    def __call__(self, item: _Item) -> Decoded:
        name, file = item
        tags = Tags()
        try:
            with self.stores.local_copy(file, name) as path:
                check_regular(path, AudioError)
                tags = read_tags(path)
                if self.kind.weights_sha256 and not is_image(path):  # features are computed faster on the GPU
                    found = audio_blocks(path, rate=self.kind.sample_rate, longest_seconds=self.longest_seconds)
                    return Decoded(tags, samples=np.concatenate(list(found)))
                return Decoded(tags, self.kind.read(path, longest_seconds=self.longest_seconds))
        except (OSError, ValueError) as error:
            return Decoded(tags, error=reason_of(error))

    @staticmethod
    def failure(error: Exception) -> Decoded:
        """Return the result for a song that cannot be processed."""
        return Decoded(error=reason_of(error))


@dataclass(frozen=True)
class Render:
    """Renders a song as a PNG, exactly as `raygenre.workflows.render` does; returns the PNG or the error's text."""

    stores: Stores

    def __call__(self, item: _Item) -> bytes | str:
        name, file = item
        try:
            with self.stores.local_copy(file, name) as path:
                return render(path)
        except (OSError, ValueError) as error:
            return self.failure(error)

    @staticmethod
    def failure(error: Exception) -> str:
        """Return the result for a song that cannot be processed."""
        return reason_of(error)


def classify(classifier: Classifier, song: Decoded) -> SongResult:
    """Return the prediction for a decoded song."""
    parts: Iterable[Song]
    if song.windows:
        parts = [song.windows]
    elif song.samples is not None:
        parts = classifier.input.cut([song.samples], lambda: None)
    else:
        return SongResult(Path(), None, (), song.error, song.tags)
    try:
        prediction, times = classifier.predict_parts(parts)
    except ValueError as error:
        return SongResult(Path(), None, (), reason_of(error), song.tags)
    return SongResult(Path(), prediction, times, "", song.tags)


def process(
    work: Predict | Decode | Render, block: pa.Table, *, column: str, isolated: bool
) -> Iterator[tuple[str, Any]]:
    """Yield the name of each song in a block and the result of `work`, in the order of the block.

    If a block is repeated because a node was lost, its rows are in the same order, so the same files are written.

    Args:
        column: column of Parquet files that holds the content.
        isolated: whether to process each song in a separate process; see `raygenre.batch.execution`.
    """
    left = deque(dict.fromkeys(block["path"].to_pylist()))
    results: dict[str, Any] = {}
    try:
        items = contents(block, work.stores, column)
        for (name, _), result in execution.attempts(work, items, isolated=isolated):
            results[name] = work.failure(result) if isinstance(result, Exception) else result
            while left and left[0] in results:
                first = left.popleft()
                yield first, results.pop(first)
        problem: Exception = BatchError("the Parquet file no longer contains this song; run the command again")
    except (OSError, BatchError) as error:  # the Parquet file that contains the songs cannot be read
        problem = error
    for name in left:
        yield name, results[name] if name in results else work.failure(problem)
