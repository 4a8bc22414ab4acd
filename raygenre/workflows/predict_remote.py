"""Predict the genres of many songs by sending them to an endpoint, several at once."""

import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from raygenre.audio.errors import AudioError
from raygenre.audio.tags import read_tags
from raygenre.client import Answer, Client, ModelFacts, UnreachableError
from raygenre.errors import reason_of
from raygenre.prediction import Prediction
from raygenre.system.regular_file import check_regular
from raygenre.workflows.predict import SongResult, start_order


def predict_remotely(
    client: Client, songs: Sequence[Path], facts: ModelFacts, *, at_once: int
) -> Generator[tuple[int, SongResult], None, None]:
    """Send files to an endpoint, and yield each result with the file's number as soon as it arrives.

    Files that exceed the endpoint's size limit are not sent; once the endpoint is unreachable, no further files are
    sent. Closing the iterator cancels all requests.

    Args:
        facts: what the endpoint reports about its model. If a model with other genres has since become the champion,
            its responses are treated as errors.
        at_once: number of concurrent requests.
    """
    order = start_order(songs, at_once)
    sent: list[int] = []
    unusable: list[tuple[int, SongResult]] = []
    is_lost = threading.Event()

    def files() -> Iterator[Path]:
        for number in order:
            if is_lost.is_set():
                return
            try:
                if check_regular(songs[number], AudioError).st_size > facts.most_bytes:
                    limit = f"the endpoint's limit of {facts.most_bytes / 1e6:g} MB"
                    raise AudioError(f"the file is larger than {limit}; send an MP3, or predict it without --url")
            except (OSError, ValueError) as error:
                unusable.append((number, SongResult(songs[number], None, (), reason_of(error))))
                continue
            sent.append(number)
            yield songs[number]

    lost = ""
    done: set[int] = set()
    with closing(client.predict_many(files(), at_once=at_once)) as outcomes:
        for index, outcome in outcomes:
            number = sent[index]
            if isinstance(outcome, UnreachableError):
                lost = str(outcome)
                is_lost.set()
            done.add(number)
            yield number, _result(songs[number], outcome, facts.genres)
    for number, result in unusable:
        done.add(number)
        yield number, result
    for number in order:
        if number not in done:
            yield number, SongResult(songs[number], None, (), f"it was not sent, because {lost}")


def _result(song: Path, outcome: Answer | Exception, genres: Sequence[str]) -> SongResult:
    tags = read_tags(song)
    if isinstance(outcome, Exception):
        return SongResult(song, None, (), reason_of(outcome), tags)
    model = str(outcome.model)
    if set(outcome.probabilities) != set(genres):
        error = f"{model}, which has other genres, has become the endpoint's champion; run the command again"
        return SongResult(song, None, (), error, tags, model=model)
    prediction = Prediction(
        genre=outcome.genre,
        confidence=outcome.confidence,
        uncertain=outcome.uncertain,
        probabilities=outcome.probabilities,
        windows=tuple(window.probabilities for window in outcome.windows) or (outcome.probabilities,),
    )
    times = tuple((window.start, window.end) for window in outcome.windows)
    return SongResult(song, prediction, times, "", tags, model=model)
