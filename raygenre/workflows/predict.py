"""Predict the genres of many songs on all cores."""

import math
import os
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from raygenre.audio.errors import AudioError
from raygenre.audio.tags import Tags, read_tags
from raygenre.errors import reason_of
from raygenre.prediction import Prediction
from raygenre.system import worker_pool
from raygenre.system.regular_file import check_regular
from raygenre.workflows.prediction_cache import CachedWindows, PredictionCache

if TYPE_CHECKING:
    from raygenre.model.classifier import Classifier

_BIG = 1 / 8  # a file is big if it exceeds this fraction of a worker's share of all bytes


@dataclass(frozen=True)
class SongResult:
    """The prediction for a file, or the reason why there is no prediction.

    Attributes:
        prediction: the prediction; None if there was an error.
        times: start and end of each window in s; empty for an image.
        error: the error message; empty if there was no error.
        tags: the tags of the file.
        is_cached: whether the prediction comes from the cache.
        model: name of the model if an endpoint made the prediction; otherwise empty.
    """

    path: Path
    prediction: Prediction | None
    times: tuple[tuple[float, float], ...]
    error: str
    tags: Tags = field(default_factory=Tags)
    is_cached: bool = False
    model: str = ""


def predict_songs(
    classifier: "Classifier", songs: Sequence[Path], *, jobs: int, cache: PredictionCache | None = None
) -> Generator[SongResult, None, None]:
    """Classify files as `predict_unordered` does, but yield the results in the order of the files.

    Raises:
        ValueError: `jobs` is not positive.
    """
    early: dict[int, SongResult] = {}  # results that wait for earlier files; they contain no levels
    following = 0
    with closing(predict_unordered(classifier, songs, jobs=jobs, cache=cache)) as results:
        for number, result in results:
            early[number] = result
            while following in early:
                yield early.pop(following)
                following += 1


def predict_unordered(
    classifier: "Classifier",
    songs: Sequence[Path],
    *,
    jobs: int,
    cache: PredictionCache | None = None,
    longest_seconds: float = math.inf,
) -> Generator[tuple[int, SongResult], None, None]:
    """Classify files on several cores, and yield each result with the file's index as soon as it is available.

    Closing the iterator stops the work immediately.

    Args:
        jobs: number of worker processes.
        cache: cache in which each prediction is looked up and stored separately, so that a later call can continue an
            interrupted one.
        longest_seconds: maximum duration of a song in s; longer songs fail.

    Raises:
        ValueError: `jobs` is not positive.
    """
    # The network runs in the workers. When the network ran in the parent process, 20 four-minute songs took 1.3 times
    # the CPU time on two cores (15.7 s instead of 12.1 s). Reading a song takes about four times as long as classifying
    # it, so the parent process would also be the bottleneck with more than four workers.
    order = start_order(songs, jobs)
    items = [(number, songs[number]) for number in order]
    with closing(
        worker_pool.unordered(partial(_predict, classifier, cache, longest_seconds), items, jobs=jobs)
    ) as results:
        for (number, song), result in results:
            yield (
                number,
                result if isinstance(result, SongResult) else SongResult(song, None, (), reason_of(result)),
            )


def start_order(songs: Sequence[Path], jobs: int) -> list[int]:
    """Return the order in which to process the files: big files first, so that none of them is left for the end.

    All other files keep their order, so that `predict_songs` can yield their results without a long delay.
    """
    if jobs == 1:
        return list(range(len(songs)))
    sizes = [_size(song) for song in songs]
    big = _BIG * sum(sizes) / jobs
    return sorted(range(len(songs)), key=lambda number: -sizes[number] if sizes[number] > big else 0)


def _size(song: Path) -> int:
    try:
        return song.stat().st_size
    except (OSError, ValueError):  # the prediction reports the failure
        return 0


def _predict(
    classifier: "Classifier", cache: PredictionCache | None, longest_seconds: float, numbered: tuple[int, Path]
) -> SongResult:
    """Predict a file in a worker process."""
    return predict_song(classifier, numbered[1], cache=cache, longest_seconds=longest_seconds)


def predict_song(
    classifier: "Classifier", path: Path, *, cache: PredictionCache | None = None, longest_seconds: float = math.inf
) -> SongResult:
    """Decode and classify a file, or take the prediction from the cache; the result contains any error."""
    tags = Tags()
    try:
        before = check_regular(path, AudioError)  # checked here, because the tags and hash are read before decoding
        tags = read_tags(path)
        if longest_seconds < math.inf:
            cache = None  # cached predictions do not contain the duration of the audio
        key = cache.key(path) if cache else ""
        if cache and (stored := cache.load(key)):
            return SongResult(path, classifier.combine_windows(stored.rows), stored.times, "", tags, is_cached=True)
        parts = classifier.input.read_parts(path, longest_seconds=longest_seconds)
        prediction, times = classifier.predict_parts(parts)
        if cache and _is_same(before, path.stat()):  # otherwise, the key may belong to another version of the file
            rows = np.array([list(window.values()) for window in prediction.windows], dtype=np.float32)
            cache.store(key, CachedWindows(rows, times))
    except (OSError, ValueError) as error:
        return SongResult(path, None, (), reason_of(error), tags)
    return SongResult(path, prediction, times, "", tags)


def _is_same(before: os.stat_result, after: os.stat_result) -> bool:
    """Return whether a file was neither modified nor replaced between two `stat` calls."""
    return all(getattr(before, name) == getattr(after, name) for name in ("st_ino", "st_size", "st_mtime_ns"))
