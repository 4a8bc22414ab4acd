"""`raygenre.client` and `raygenre predict --url` against the real endpoint."""

import asyncio
import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from raygenre.audio.synthesis import synthesise
from raygenre.cli import app
from raygenre.client import Answer, AsyncClient, Client, RefusedError, Window
from raygenre.spectrogram.image import read_png
from raygenre.system.storage import Storage
from tests.helpers.markdown import DOCUMENTS, blocks
from tests.helpers.sounds import encode

PYTHON = [block.text for path in DOCUMENTS for block in blocks(path) if block.language == "python"]
EXAMPLES = [text for text in PYTHON if "raygenre.client" in text]


@pytest.fixture(scope="module")
def url(endpoint: httpx.Client) -> str:
    return str(endpoint.base_url)


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory, song: bytes, picture: bytes) -> Path:
    """Return a folder with songs, a picture and files that are not music."""
    folder = tmp_path_factory.mktemp("album")
    (folder / "song.mp3").write_bytes(song)
    (folder / "storm.flac").write_bytes(encode(synthesise("storm", seed=61), "flac", "flac"))
    (folder / "picture.png").write_bytes(picture)
    (folder / "silent.wav").write_bytes(encode(np.zeros(4 * 22_050, dtype=np.float32)))
    (folder / "note.mp3").write_text("not music")
    (folder / "empty.wav").touch()
    return folder


def test_the_client_gives_the_endpoints_answers(url: str, endpoint: httpx.Client, song: bytes) -> None:
    with Client(url) as client:
        answer, facts = client.predict(song), client.model()
        parts = list(client.stream(song))
        picture = client.spectrogram(song, window=1)
    expected = endpoint.post("/v1/predict", content=song).json() | {"request_id": answer.request_id}
    assert rounded(answer.model_dump_json()) == rounded(json.dumps(expected))
    assert facts.model_dump(mode="json") == endpoint.get("/v1/model").json()
    assert [type(part) for part in parts] == [Window, Window, Answer]
    assert read_png(picture).shape == (128, 333)


def test_a_job_has_the_answer_of_a_request(url: str, song: bytes) -> None:
    with Client(url) as client:
        job = client.create_job(song)
        finished = client.wait_for_job(job.id)
        assert isinstance(finished.result, Answer)
        assert finished.result.windows == client.predict(song).windows
        client.delete_job(job.id)
        with pytest.raises(RefusedError, match="no such job") as refusal:
            client.job(job.id)
    assert refusal.value.status == 404


def test_the_async_client_gives_the_same(url: str, song: bytes) -> None:
    async def answers() -> list[Answer]:
        async with AsyncClient(url) as client:
            return [answer async for _, answer in client.predict_many([song] * 2) if isinstance(answer, Answer)]

    first, second = asyncio.run(answers())
    assert first.genre == second.genre
    assert first.request_id != second.request_id


@pytest.mark.parametrize(("share_of_limit", "status"), [(0.001, 415), (1.1, 413), (8, 413)])
def test_a_refusal_arrives_although_the_file_is_not_read(url: str, share_of_limit: float, status: int) -> None:
    with Client(url) as client:
        size = round(share_of_limit * client.model().most_bytes)
        with pytest.raises(RefusedError) as raised:
            client.predict(b"no music " * (size // 9))
    assert raised.value.status == status


def rounded(text: str) -> str:
    """Return a text with its numbers rounded, because their last decimals depend on which windows share a batch."""
    return re.sub(r"\d+\.\d+(e-\d+)?", lambda number: f"{float(number[0]):.4f}", "".join(text.split(" ")))


def predict(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


Compare = Callable[[list[object]], tuple[Result, Result]]


@pytest.fixture
def compare(url: str, storage: Storage, album: Path) -> Compare:
    """Return a function that runs `predict` both against the endpoint and locally, with the same model."""

    def run(options: list[object]) -> tuple[Result, Result]:
        here = ["--storage", storage.root, "--no-cache", "--jobs", 1]
        return predict("--url", url, album, *options), predict(*here, album, *options)

    return run


def test_predict_prints_the_same_table_from_an_endpoint(compare: Compare) -> None:
    remote, here = compare([])
    assert (remote.exit_code, remote.stdout, remote.stderr) == (1, here.stdout, here.stderr)
    assert "note.mp3: the file is neither a PNG nor audio" in remote.stderr


def test_predict_prints_the_same_json_from_an_endpoint(compare: Compare) -> None:
    remote, here = compare(["--json"])
    assert (remote.exit_code, remote.stderr) == (here.exit_code, here.stderr)
    assert rounded(remote.stdout) == rounded(here.stdout)


def test_predict_writes_the_same_csv_from_an_endpoint(compare: Compare, tmp_path: Path) -> None:
    tables = []
    for result in compare(["-o", tmp_path / "genres.csv"]):
        assert result.exit_code == 1
        tables.append(list(csv.reader((tmp_path / "genres.csv").read_text().splitlines())))
    assert rounded(json.dumps(tables[0])) == rounded(json.dumps(tables[1]))


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_python_examples_run(example: str, url: str, album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(album)
    exec(compile(example.replace("http://localhost:8000", url), "example", "exec"), {})
