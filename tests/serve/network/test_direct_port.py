"""The port on which replicas answer directly, bypassing Ray's proxy."""

import socket
import threading

import httpx
import pytest
from ray import serve

from raygenre.system.storage import Storage
from serve.network.direct_port import DirectPortError, bind
from tests.helpers.load import LOST, Reply, ask, statuses
from tests.helpers.mlflow_server import free_port
from tests.helpers.processes import until
from tests.helpers.serving import running

KEY = "client-key-0123456789"
REPLICAS = 2


def test_replicas_share_the_direct_port_and_stop_gracefully(storage: Storage, ray_serve: None, picture: bytes) -> None:
    port = free_port()
    stopping, replies = threading.Event(), []
    key = {"X-API-Key": KEY}

    def send_requests() -> None:
        while True:
            replies.append(ask(port, ("/v1/predict", picture), headers=key))
            if stopping.is_set() and replies[-1].status == LOST:
                return

    settings = {"direct_port": port, "max_replicas": REPLICAS, "api_keys": KEY}
    with running(storage, name="direct", prefix="/direct", **settings) as behind_proxy:
        assert ask(port, ("/v1/predict", picture)).status == 401
        behind_proxy.headers.update(key)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, headers=key) as direct:
            answers = [client.post("/v1/predict", content=picture) for client in (behind_proxy, direct)]
            named = direct.post("/v1/predict", content=picture, headers={"X-Request-ID": "tune-7"})
            refused = direct.post("/v1/predict", content=b"no known format")
        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].json()["probabilities"] == pytest.approx(answers[1].json()["probabilities"], abs=1e-5)
        assert answers[1].headers["X-Request-ID"] == answers[1].json()["request_id"]
        assert named.headers.get_list("X-Request-ID") == ["tune-7"]
        assert refused.status_code == 415
        assert refused.headers["Content-Type"] == "application/problem+json"

        [deployment] = serve.status().applications["direct"].deployments.values()
        assert sum(deployment.replica_states.values()) == REPLICAS
        clients = [threading.Thread(target=send_requests) for _ in range(4)]
        for thread in clients:
            thread.start()
        until(lambda: len(replies) > 20)
        stopping.set()
    for thread in clients:
        thread.join()
    check_no_request_was_dropped(replies)


def check_no_request_was_dropped(replies: list[Reply]) -> None:
    """Check that each client gets answers until no replica is listening."""
    counts = statuses(replies)
    assert set(counts) == {200, LOST}, counts
    assert counts[LOST] == 4
    lost = [reply for reply in replies if reply.status == LOST]
    assert all(b"refused" in reply.content for reply in lost), [reply.content for reply in lost]


def test_a_direct_port_in_use_is_reported(storage: Storage, ray_serve: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        port = occupied.getsockname()[1]
        with pytest.raises(DirectPortError, match=f"cannot listen on 127.0.0.1:{port}: .*RAYGENRE_DIRECT_PORT"):
            bind("127.0.0.1", port)
