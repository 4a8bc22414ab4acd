"""No request fails when models change; the endpoint has a route prefix and API keys."""

import json
import threading
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from raygenre.inputs.features import Features
from raygenre.model.classifier import EXAMPLES, WEIGHTS
from raygenre.pretrained import store
from raygenre.registry import champion
from raygenre.spectrogram.image import read_png
from raygenre.system.storage import Storage
from raygenre.tracking.server import Server
from serve.protocols.mlflow_scoring import CONTENT_TYPE
from tests.helpers.metrics import scrape, value
from tests.helpers.open_inference import binary_request, outputs, pack
from tests.helpers.processes import until
from tests.helpers.serving import PORT, new_storage, register, running
from tests.helpers.swapping import artifact, load_error, serving

KEYS = ("first-key-0123456789", "second-key-0123456789")
FILE_KEY, NEW_KEY = "filed-key-0123456789", "next-key-01234567890"
CHALLENGER = "models:/raygenre@challenger"


@pytest.fixture(scope="module")
def changing(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    return new_storage(tmp_path_factory.mktemp("changing"))


@pytest.fixture(scope="module")
def key_file(changing: Storage) -> Path:
    file = changing.root / "keys"
    file.write_text(f"{FILE_KEY}\n")
    return file


@pytest.fixture(scope="module")
def client(changing: Storage, key_file: Path, ray_serve: None) -> Iterator[httpx.Client]:
    settings = {
        "poll_seconds": 0.4,
        "challenger_uri": CHALLENGER,
        "challenger_share": 0.5,
        "api_keys": ",".join(KEYS),
        "api_keys_file": key_file,
        "cors_origins": "https://music.example.com",
        "queue_length": 2,
    }
    with running(changing, name="changing", prefix="/genres", **settings) as client:
        client.headers["authorization"] = f"Bearer {KEYS[0]}"
        yield client


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer wrong-key-0123456789"}, 401),
        ({"authorization": f"Basic {KEYS[0]}"}, 401),
        ({"authorization": "Bearer"}, 401),
        ({"x-api-key": ""}, 401),
        ({"authorization": f"Bearer {KEYS[1]}"}, 200),
        ({"authorization": f"bearer {KEYS[0]}"}, 200),
        ({"x-api-key": KEYS[1]}, 200),
    ],
)
def test_a_valid_key_is_required(client: httpx.Client, headers: dict[str, str], status: int) -> None:
    response = httpx.get(f"http://127.0.0.1:{PORT}/genres/v1/model", headers=headers)
    assert response.status_code == status
    if status == 401:
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.json()["title"] == "Unauthorized"


def test_keys_are_rotated_while_the_endpoint_runs(client: httpx.Client, key_file: Path) -> None:
    def statuses() -> tuple[int, ...]:
        url = f"http://127.0.0.1:{PORT}/genres/v1/model"
        return tuple(httpx.get(url, headers={"x-api-key": key}).status_code for key in (KEYS[0], FILE_KEY, NEW_KEY))

    assert statuses() == (200, 200, 401)
    key_file.write_text(f"{FILE_KEY}\n{NEW_KEY}  # the new one\n")
    until(lambda: statuses() == (200, 200, 200))
    key_file.write_text(f"{NEW_KEY}\n")
    until(lambda: statuses() == (200, 401, 200))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/predict"),
        ("POST", "/v1/spectrogram"),
        ("GET", "/v1/model"),
        ("POST", "/v1/%70redict"),
        ("GET", "/v2/models/raygenre"),
        ("POST", "/v2/models/raygenre/infer"),
        ("POST", "/v2/models/raygenre/versions/1/infer"),
        ("POST", "/invocations"),
    ],
)
def test_without_a_key_only_health_and_pages_are_answered(client: httpx.Client, method: str, path: str) -> None:
    body = bytes(30_000_000) if method == "POST" else b""  # never read
    with httpx.Client(base_url=f"http://127.0.0.1:{PORT}/genres") as bare:
        assert bare.request(method, path, content=body).status_code == 401
        for open_path in ("/healthz", "/readyz", "/", "/docs", "/openapi.json", "/v2", "/v2/health/ready", "/ping"):
            assert bare.get(open_path).status_code == 200


def test_only_the_configured_origins_may_call_the_api(client: httpx.Client) -> None:
    for origin, allowed in (("https://music.example.com", True), ("https://example.com", False)):
        preflight = {
            "origin": origin,
            "access-control-request-method": "POST",
            "access-control-request-headers": "x-api-key",
        }
        response = client.options("/v1/predict", headers=preflight)
        assert (response.headers.get("access-control-allow-origin") == origin) is allowed
        exposed = client.get("/v1/model", headers={"origin": origin}).headers.get("access-control-expose-headers", "")
        assert {"X-Request-ID", "X-Windows", "Retry-After"} <= set(exposed.split(", "))  # sent to all origins


def test_too_many_predictions_at_a_time_are_refused(client: httpx.Client, song: bytes) -> None:
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: client.post("/v1/predict", content=song), range(24)))
    assert {answer.status_code for answer in answers} == {200, 429}
    for answer in answers:
        if answer.status_code == 429:
            assert answer.headers["retry-after"] == "2"
    assert client.post("/v1/predict", content=song).status_code == 200


def test_a_new_champion_takes_over_without_a_failed_request(
    client: httpx.Client, changing: Storage, picture: bytes
) -> None:
    answers: list[tuple[int, str]] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            response = client.post("/v1/predict", content=picture)
            answer = response.json()
            answers.append((response.status_code, f"{answer['model']['version']} {answer['genre']}"))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        register(changing, favourite=1)
        until(lambda: serving(client) == "2")
        until(lambda: answers[-1][1].startswith("2"))
    finally:
        stop.set()
        asking.join()
    assert {status for status, _ in answers} == {200}
    assert {answer for _, answer in answers} == {"1 bells", "2 drone"}


@pytest.mark.parametrize("damage", ["weights", "another version's weights", "examples", "half examples", "missing"])
def test_a_damaged_version_leaves_the_old_one_in_service(
    client: httpx.Client, changing: Storage, picture: bytes, damage: str
) -> None:
    before = serving(client)
    good = artifact(changing, WEIGHTS).read_bytes()
    version = register(changing, favourite=2, promote=False)
    weights = artifact(changing, WEIGHTS)
    if damage == "weights":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif damage == "another version's weights":
        weights.write_bytes(good)
    elif damage == "examples":
        examples = artifact(changing, EXAMPLES)
        stored = bytearray(examples.read_bytes())
        start = 8 + int.from_bytes(stored[:8], "little")  # after the header
        stored[start:] = bytes(len(stored) - start)
        examples.write_bytes(stored)
    elif damage == "half examples":
        examples = artifact(changing, EXAMPLES)
        examples.write_bytes(examples.read_bytes()[:5000])
    else:
        weights.unlink()
    champion.promote(Server(changing), version)
    until(lambda: load_error(client) != "")
    answer = client.post("/v1/predict", content=picture)
    assert answer.status_code == 200
    assert answer.json()["model"]["version"] == before
    expected = {"examples": "add up to 1"}.get(damage, "cannot be loaded|not those|cannot be read")
    assert any(word in load_error(client) for word in expected.split("|"))
    assert champion.rollback(Server(changing)) == (version, int(before))
    until(lambda: load_error(client) == "")


def test_a_rollback_restores_the_previous_version(client: httpx.Client, changing: Storage, picture: bytes) -> None:
    champion.promote(Server(changing), 1)
    champion.promote(Server(changing), 2)
    until(lambda: serving(client) == "2")
    champion.rollback(Server(changing))
    until(lambda: serving(client) == "1")
    assert client.post("/v1/predict", content=picture).json()["genre"] == "bells"


def test_a_champion_with_features_takes_over_and_leaves(
    client: httpx.Client, changing: Storage, features: Features, song: bytes, picture: bytes
) -> None:
    """The replica needs only the registry; nothing is installed in the user's cache."""
    assert not store.is_installed()
    answers: list[tuple[int, str]] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            response = client.post("/v1/predict", content=song)
            last = response.json()["windows"][-1]
            answers.append((response.status_code, f"{response.json()['genre']} {last['start']:.2f}"))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        version = register(changing, favourite=2, features=features)
        until(lambda: serving(client) == str(version))
        until(lambda: answers[-1][1] == "storm 29.92")
        facts = client.get("/v1/model").json()
        assert (facts["input"], facts["takes_images"]) == ("features", False)
        [file] = client.get("/v2/models/raygenre").json()["inputs"]
        assert file["name"] == "file"
        with_levels = binary_request("levels", "UINT8", [1, 128, 333], read_png(picture).tobytes())
        for path, (body, headers) in (
            ("/v1/predict", (picture, {})),
            ("/v2/models/raygenre/infer", binary_request("file", "BYTES", [1], pack([picture]))),
            ("/v2/models/raygenre/infer", with_levels),
            ("/invocations", (json.dumps({"inputs": [b64encode(picture).decode()]}), {"content-type": CONTENT_TYPE})),
        ):
            response = client.post(path, content=body, headers=headers)
            assert (response.status_code, "use the recording" in response.json()["detail"]) == (422, True), path
        window = client.post("/v1/predict", content=song).json()["windows"][1]
        assert (window["number"], window["end"]) == (1, features.spans(60.02)[1][1])
        shown = client.post("/v1/spectrogram?window=1", content=song)
        assert (shown.status_code, shown.headers["x-windows"]) == (200, "2")
        champion.rollback(Server(changing))
        until(lambda: serving(client) != str(version))
        until(lambda: answers[-1][1].startswith("bells 30"))
    finally:
        stop.set()
        asking.join()
    assert {status for status, _ in answers} == {200}
    assert len({answer for _, answer in answers}) == 2


def test_a_challenger_answers_its_share(client: httpx.Client, changing: Storage, picture: bytes) -> None:
    ready = client.get("/readyz").json()
    assert ready["challenger"] is None
    assert "no model" in ready["trouble"]["challenger"]
    version = register(changing, favourite=2, promote=False)
    Server(changing).client.set_registered_model_alias("raygenre", "challenger", str(version))
    until(lambda: client.get("/readyz").json()["challenger"] is not None)
    answers = [client.post("/v1/predict", content=picture).json() for _ in range(40)]
    named = Counter((answer["model"]["version"], answer["genre"]) for answer in answers)
    assert set(named) == {(serving(client), "bells"), (str(version), "storm")}
    assert named[str(version), "storm"] >= 8  # of 40 random choices; a lower count occurs in 1 of 20 000 runs
    assert client.get("/v1/model").json()["challenger"]["version"] == str(version)
    assert client.get("/v2/models/raygenre").json()["versions"] == [serving(client), str(version)]
    body, headers = binary_request("file", "BYTES", [1], pack([picture]))
    for number, genre in ((serving(client), "bells"), (str(version), "storm")):  # requests name the version
        url = f"/v2/models/raygenre/versions/{number}/infer"
        named_answers = [outputs(client.post(url, content=body, headers=headers)) for _ in range(4)]
        assert [answer["genre"] for answer in named_answers] == [[genre]] * 4


def test_model_changes_and_agreement_are_counted(client: httpx.Client) -> None:
    """Must run after the tests above, which changed the model and used a challenger."""
    ready = client.get("/readyz").json()
    names = {tag: f"raygenre/{ready[key]['version']}" for tag, key in (("model", "challenger"), ("champion", "model"))}
    for name, tags in (
        ("model_changes", {"role": "model", "outcome": "taken"}),
        ("model_changes", {"role": "model", "outcome": "refused"}),
        ("challenger_answers", {"agree": "false"} | names),
    ):
        until(lambda name=name, tags=tags: value(scrape(), f"ray_raygenre_{name}_total", **tags) > 0)  # type: ignore[misc]
