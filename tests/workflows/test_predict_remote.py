"""Songs are sent to an endpoint; what goes wrong with it is an error of the songs."""

import json
from pathlib import Path
from typing import Any

from raygenre.client import Client, Retries
from raygenre.workflows.predict import SongResult
from raygenre.workflows.predict_remote import predict_remotely
from serve.schema import EXAMPLES
from tests.helpers.scripted_server import HANG_UP, Reply, scripted

ANSWER: dict[str, Any] = json.loads(json.dumps(EXAMPLES["answer"]))
GENRES = tuple(ANSWER["probabilities"])

QUICK = Retries(attempts=2, first_wait=0.1)


def reply(**changes: object) -> Reply:
    return Reply(200, [json.dumps(ANSWER | changes).encode()], {"Content-Type": "application/json"})


def songs(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{number}.mp3" for number in range(count)]
    for path in paths:
        path.write_bytes(b"song")
    return paths


def results(paths: list[Path], *replies: Reply) -> tuple[list[SongResult], int]:
    """Return the results in the order of the songs, and the number of requests."""
    with scripted(*replies) as server, Client(server.url, retries=QUICK) as client:
        found = dict(predict_remotely(client, paths, GENRES, at_once=1))
    return [found[number] for number in range(len(paths))], len(server.requests)


def test_an_answer_becomes_a_prediction_with_its_model(tmp_path: Path) -> None:
    [result], _ = results(songs(tmp_path, 1), reply())
    assert result.prediction
    assert (result.prediction.genre, result.model, result.times) == ("jazz", "raygenre/3", ((0, 30.01),))
    assert result.prediction.windows == (ANSWER["probabilities"],)


def test_a_picture_has_one_window_without_times(tmp_path: Path) -> None:
    [result], _ = results(songs(tmp_path, 1), reply(windows=[]))
    assert result.prediction
    assert (result.prediction.windows, result.times) == ((ANSWER["probabilities"],), ())


def test_songs_are_not_sent_to_an_endpoint_that_is_gone(tmp_path: Path) -> None:
    paths = songs(tmp_path, 20)
    paths[1] = tmp_path / "missing.mp3"
    [good, missing, *gone], requests = results(paths, reply(), HANG_UP)
    assert (good.error, missing.error) == ("", "No such file or directory")
    assert gone[0].error.startswith("the connection to http://127.0.0.1")
    assert gone[-1].error.startswith("it was not sent, because the connection to http://127.0.0.1")
    assert requests < len(paths)


def test_a_new_champion_with_other_genres_is_an_error(tmp_path: Path) -> None:
    other = reply(probabilities={"waltz": 1.0}, model=ANSWER["model"] | {"version": "4"})
    [good, bad], _ = results(songs(tmp_path, 2), reply(), other)
    assert good.prediction
    assert bad.error.startswith("raygenre/4, which has other genres, has become the endpoint's champion")
