"""Songs are sent to an endpoint; if it fails, errors are reported for these songs."""

import json
from pathlib import Path
from typing import Any

from raygenre.client import Client, ModelFacts, Retries
from raygenre.workflows.predict import SongResult
from raygenre.workflows.predict_remote import predict_remotely
from serve import schema
from tests.helpers.mlflow_server import free_port
from tests.helpers.scripted_server import HANG_UP, Reply, scripted

ANSWER: dict[str, Any] = json.loads(json.dumps(schema.EXAMPLES["answer"]))
FACTS = ModelFacts.model_validate(schema.ModelFacts.model_json_schema()["example"] | {"most_bytes": 25_000_000})

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
        found = dict(predict_remotely(client, paths, FACTS, at_once=1))
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
    with Client(f"http://127.0.0.1:{free_port()}", retries=QUICK) as client:
        found = dict(predict_remotely(client, paths, FACTS, at_once=1))
    assert found[0].error.startswith("http://127.0.0.1")
    assert found[1].error == "No such file or directory"
    assert found[19].error.startswith("it was not sent, because http://127.0.0.1")


def test_other_songs_are_sent_after_one_without_an_answer(tmp_path: Path) -> None:
    [bad, good], _ = results(songs(tmp_path, 2), HANG_UP, HANG_UP, reply())
    assert bad.error.startswith("the connection to http://127.0.0.1")
    assert good.prediction


def test_a_file_beyond_the_endpoints_limit_is_not_sent(tmp_path: Path) -> None:
    paths = songs(tmp_path, 2)
    with paths[0].open("wb") as file:
        file.truncate(FACTS.most_bytes + 1)
    [large, good], requests = results(paths, reply())
    assert large.error.startswith("the file is larger than the endpoint's limit of 25 MB; send an MP3, or")
    assert good.prediction
    assert requests == 1


def test_a_new_champion_with_other_genres_is_an_error(tmp_path: Path) -> None:
    other = reply(probabilities={"waltz": 1.0}, model=ANSWER["model"] | {"version": "4"})
    [good, bad], _ = results(songs(tmp_path, 2), reply(), other)
    assert good.prediction
    assert bad.error.startswith("raygenre/4, which has other genres, has become the endpoint's champion")
