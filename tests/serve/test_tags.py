"""The endpoint returns the pretrained network's tags until the first champion takes over."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from raygenre.inputs.features import Features
from raygenre.pretrained import store
from raygenre.pretrained.features import Extractor
from raygenre.pretrained.tags import NOTE, ranked
from raygenre.registry.versions import NoModelError
from raygenre.system.storage import Storage
from raygenre.tracking.server import Server
from serve.preflight import check_model
from serve.settings import Settings
from serve.web.lines import MEDIA_TYPE
from tests.helpers.metrics import scrape, value
from tests.helpers.open_inference import binary_request, pack
from tests.helpers.processes import until
from tests.helpers.serving import new_storage, register, running
from tests.helpers.storages import empty_storage
from tests.helpers.swapping import serving


@pytest.fixture(scope="module")
def installed(features: Features, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small pretrained network."""
    folder = tmp_path_factory.mktemp("pretrained") / "network"
    store.save(features.pretrained, folder)
    return folder


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    return empty_storage(tmp_path_factory.mktemp("untrained"))


@pytest.fixture(scope="module")
def client(untrained: Storage, installed: Path, ray_serve: None) -> Iterator[httpx.Client]:
    with running(untrained, name="tags", prefix="/tags", pretrained_folder=installed, poll_seconds=0.4) as client:
        yield client


def test_without_a_champion_the_pretrained_network_is_needed(tmp_path: Path, installed: Path) -> None:
    storage = empty_storage(tmp_path)
    with pytest.raises(NoModelError, match=r"there is no model .*; `raygenre pretrained install` installs"):
        check_model(Server(storage), Settings())
    assert check_model(Server(storage), Settings(pretrained_folder=installed)) is False
    with pytest.raises(NoModelError, match="models:/raygenre/7"):
        check_model(Server(storage), Settings(pretrained_folder=installed, model_uri="models:/raygenre/7"))
    assert check_model(Server(new_storage(tmp_path / "trained")), Settings()) is True


def test_without_a_champion_a_song_gets_tags(
    client: httpx.Client, features: Features, song: bytes, picture: bytes
) -> None:
    answer = client.post("/v1/predict", content=song).json()
    expected = Extractor(features.pretrained.network).read(song)
    tags = dict(ranked(features.pretrained.about.tags, expected.song_tags))
    assert answer["tags"] == pytest.approx(tags, abs=1e-5)
    assert answer["best"] == list(answer["tags"])[:5]
    assert [(part["number"], part["end"]) for part in answer["windows"]] == [(0, 29.92), (1, 59.84)]
    assert (answer["note"], answer["licence"], answer["pretrained"]) == (NOTE, "ISC", store.MODEL)
    [line] = client.post("/v1/predict", content=song, headers={"Accept": MEDIA_TYPE}).text.splitlines()
    assert json.loads(line)["tags"] == answer["tags"]
    form = [("file", ("a.mp3", song)), ("file", ("b.png", picture))]
    answers = client.post("/v1/predict", files=form).json()
    assert answers["predictions"] == [answer | {"request_id": answers["predictions"][0]["request_id"]}, None]
    assert "use the recording" in answers["errors"][0]["detail"]
    assert client.post("/v1/spectrogram?window=1", content=song).headers["x-windows"] == "2"


def test_without_a_champion_every_route_says_what_is_served(client: httpx.Client, picture: bytes) -> None:
    ready = client.get("/readyz").json()
    assert (ready["model"], "no model" in ready["trouble"]["model"]) == (None, True)
    facts = client.get("/v1/model").json()
    assert (facts["model"], facts["note"], len(facts["pretrained"]["tags"])) == (None, NOTE, 50)
    assert facts["reason"] == ready["trouble"]["model"]
    body, headers = binary_request("file", "BYTES", [1], pack([picture]))
    model = "/v2/models/raygenre"
    for response in (
        *(client.get(path) for path in ("/v2/health/ready", model, f"{model}/ready", f"{model}/versions/1/ready")),
        client.post(f"{model}/infer", content=body, headers=headers),
        client.post("/invocations", json={"inputs": ["aGVsbG8="]}),
    ):
        assert (response.status_code, response.headers["retry-after"]) == (503, "2")
        assert response.json()["detail"].startswith("no champion is registered yet; until one is, only /v1/predict")
    for path in ("/healthz", "/v2", "/v2/health/live", "/"):
        assert client.get(path).status_code == 200


def test_the_first_champion_takes_over_from_the_tags(client: httpx.Client, untrained: Storage, song: bytes) -> None:
    """Must run after the tests above, which need the registry to be empty."""
    register(untrained, favourite=1)
    until(lambda: client.get("/readyz").json()["model"] is not None)
    assert (serving(client), client.get("/readyz").json()["trouble"]) == ("1", {})
    assert client.post("/v1/predict", content=song).json()["genre"] == "drone"
    tagged = client.post("/v1/predict?tags=true", content=song).json()
    assert (tagged["note"], len(tagged["tags"])) == (NOTE, 50)
    assert client.get("/v1/model").json()["pretrained"]["name"] == store.MODEL
    assert client.get("/v2/health/ready").json() == {"ready": True}
    until(lambda: value(scrape(), "ray_raygenre_tagged_total") == 4)


def test_tags_of_a_server_without_the_network_are_not_found(endpoint: httpx.Client, picture: bytes) -> None:
    response = endpoint.post("/v1/predict?tags=true", content=picture)
    assert (response.status_code, "raygenre pretrained install" in response.json()["detail"]) == (404, True)
    assert endpoint.get("/v1/model").json()["pretrained"] is None
