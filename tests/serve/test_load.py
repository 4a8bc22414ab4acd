"""The endpoint with its own settings under load: champions change, damaged ones too, and four times too much comes in.

What was counted is recorded with the tests: `pytest -m slow --junitxml=FILE tests/serve/test_load.py`.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from raygenre.model.classifier import WEIGHTS
from raygenre.model.network import ModelConfig
from raygenre.registry import champion
from raygenre.system.storage import Storage
from serve.settings import Settings
from tests.helpers.load import Reply, ask, crowd, statuses, steady
from tests.helpers.processes import until
from tests.helpers.serving import GENRES, PORT, new_storage, register, running
from tests.helpers.swapping import artifact, serving, trouble

pytestmark = [pytest.mark.slow, pytest.mark.alone]

PATH = "/loaded/v1/predict"
USUAL = ModelConfig(genres=len(GENRES))  # a narrower network would leave the clients the slower part
CLIENTS, SECONDS = 10, 75
LONGEST_SWAP = 30  # s
OVERLOADED = 12  # s
LEAST_TIMES_TOO_MUCH = 3.5  # of what is answered, for the clients take their share of the same cores
LONGEST_RECOVERY = 5  # s


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Storage:
    return new_storage(tmp_path_factory.mktemp("loaded"), USUAL)


@pytest.fixture(scope="module")
def client(loaded: Storage, ray_serve: None) -> Iterator[httpx.Client]:
    with running(loaded, name="loaded", prefix="/loaded") as client:
        yield client


def test_ten_clients_see_no_failure_while_champions_change(
    client: httpx.Client, loaded: Storage, picture: bytes, record_property: Callable[[str, object], None]
) -> None:
    replies: list[Reply] = []
    asking = threading.Thread(
        target=lambda: replies.extend(crowd(PORT, (PATH, picture), clients=CLIENTS, seconds=SECONDS))
    )
    began = time.monotonic()
    asking.start()
    try:
        version = register(loaded, favourite=1, model=USUAL)
        promoted = time.monotonic()
        until(lambda: serving(client) == str(version))

        damaged = register(loaded, favourite=2, promote=False, model=USUAL)
        weights = artifact(loaded, WEIGHTS)
        weights.write_bytes(weights.read_bytes()[:1000])
        champion.promote(loaded, damaged)
        until(lambda: trouble(client) != "")
        assert serving(client) == str(version)
        assert time.monotonic() - began < SECONDS - 20  # the clients see what became of it
    finally:
        asking.join()

    assert statuses(replies) == {200: len(replies)}
    answers = [(reply.began, json.loads(reply.content)["model"]["version"]) for reply in replies]
    assert {name for _, name in answers} == {"1", str(version)}
    first = min(when for when, name in answers if name == str(version))
    assert first - promoted < LONGEST_SWAP
    record_property("requests", len(replies))
    record_property("s until the new champion answered", round(first - promoted, 1))


def test_the_endpoint_recovers_from_four_times_its_capacity(
    client: httpx.Client, picture: bytes, record_property: Callable[[str, object], None]
) -> None:
    calm, full = (crowd(PORT, (PATH, picture), clients=clients, seconds=10) for clients in (4, 16))
    rate = len(full) / 10  # as much as a replica can do
    usual = sorted(reply.took for reply in calm)[len(calm) // 2]

    def normal(probe: Reply) -> bool:
        return probe.status == 200 and probe.took < 2 * usual

    probes: list[Reply] = []
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(steady, PORT, [(PATH, picture)], rate=4 * rate, number=int(4 * rate * OVERLOADED))
        deadline = time.monotonic() + 6 * OVERLOADED
        while not sending.done() or not all(map(normal, probes[-3:])):
            assert time.monotonic() < deadline, probes[-3:]
            probes.append(ask(PORT, (PATH, picture)))
            time.sleep(0.05)
        replies = sending.result()
    began, ended = (choice(reply.began for reply in replies) for choice in (min, max))
    last = next(probe for probe in reversed(probes) if not normal(probe))
    back = last.began + last.took - ended
    offered = len(replies) / (ended - began)
    found = statuses(replies)
    assert set(found) <= {200, 429, 503}, found
    assert found[200] > rate * OVERLOADED / 10
    assert found[429] + found[503] > 0, found
    took = sorted(reply.took for reply in replies if reply.status == 200)
    assert took[int(0.99 * len(took))] < Settings().request_seconds
    record_property("answers a second, before", rate)
    record_property("requests a second, then", round(offered))
    record_property("statuses", dict(found))
    record_property("s, p99 of 200", round(took[int(0.99 * len(took))], 1))
    record_property("s until back", round(back, 1))
    # The clients share the cores with what they ask: what a replica can do then is what it did.
    assert len(replies) > LEAST_TIMES_TOO_MUCH * found[200]
    assert back < LONGEST_RECOVERY
