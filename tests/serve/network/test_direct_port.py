"""A port on which replicas answer by themselves, without Ray's proxy."""

import socket
import threading

import httpx
import pytest
from ray import serve

from raygenre.system.storage import Storage
from serve.network.direct_port import DirectPortError, listener
from tests.helpers.load import LOST, Reply, ask, statuses
from tests.helpers.mlflow_server import free_port
from tests.helpers.processes import until
from tests.helpers.serving import running

KEY = "of-somebody-0123456789"
REPLICAS = 2


def test_replicas_share_a_port_ask_for_keys_and_end_without_breaking_off(
    storage: Storage, ray_serve: None, picture: bytes
) -> None:
    port = free_port()
    ending, replies = threading.Event(), []
    key = {"X-API-Key": KEY}

    def client() -> None:
        while True:
            replies.append(ask(port, ("/v1/predict", picture), headers=key))
            if ending.is_set() and replies[-1].status == LOST:
                return

    settings = {"direct_port": port, "max_replicas": REPLICAS, "api_keys": KEY}
    with running(storage, name="direct", prefix="/direct", **settings) as behind_proxy:
        assert ask(port, ("/v1/predict", picture)).status == 401
        behind_proxy.headers.update(key)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, headers=key) as direct:
            answers = [each.post("/v1/predict", content=picture) for each in (behind_proxy, direct)]
            named = direct.post("/v1/predict", content=picture, headers={"X-Request-ID": "tune-7"})
            refused = direct.post("/v1/predict", content=b"nothing that is known")
        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].json()["probabilities"] == pytest.approx(answers[1].json()["probabilities"], abs=1e-5)
        assert answers[1].headers["X-Request-ID"] == answers[1].json()["request_id"]
        assert named.headers.get_list("X-Request-ID") == ["tune-7"]
        assert refused.status_code == 415
        assert refused.headers["Content-Type"] == "application/problem+json"

        [deployment] = serve.status().applications["direct"].deployments.values()
        assert sum(deployment.replica_states.values()) == REPLICAS
        clients = [threading.Thread(target=client) for _ in range(4)]
        for thread in clients:
            thread.start()
        until(lambda: len(replies) > 20)
        ending.set()
    for thread in clients:
        thread.join()
    check_nothing_was_broken_off(replies)


def check_nothing_was_broken_off(replies: list[Reply]) -> None:
    """Each client has its answers until nobody listens any more."""
    found = statuses(replies)
    assert set(found) == {200, LOST}, found
    assert found[LOST] == 4
    assert all(b"refused" in reply.content for reply in replies if reply.status == LOST), replies[-8:]


def test_a_port_that_another_program_has_is_named(storage: Storage, ray_serve: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(DirectPortError, match=f"RAYGENRE_DIRECT_PORT cannot be listened on at 127.0.0.1:{port}"):
            listener("127.0.0.1", port)
