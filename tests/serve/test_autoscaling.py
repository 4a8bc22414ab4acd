"""Load that arrives through HAProxy causes Ray to add replicas."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from ray import serve
from ray.serve._private.common import ReplicaState

from raygenre.model.network import ModelConfig
from raygenre.system.storage import Storage
from tests.helpers.load import ask
from tests.helpers.processes import until
from tests.helpers.serving import GENRES, PORT, new_storage, running

pytestmark = pytest.mark.slow

SECONDS = 120  # Ray adds a replica after half a minute of load, and a replica takes several seconds to start
CLIENTS = 8


def running_replicas() -> int:
    [deployment] = serve.status().applications["scaled"].deployments.values()
    return deployment.replica_states.get(ReplicaState.RUNNING, 0)


def test_load_adds_a_replica(ray_serve: None, tmp_path_factory: pytest.TempPathFactory, picture: bytes) -> None:
    storage: Storage = new_storage(tmp_path_factory.mktemp("scaled"), ModelConfig(genres=len(GENRES)))
    settings = {"min_replicas": 1, "max_replicas": 2, "threads": 1, "batch": 1}  # one request at a time per replica
    with running(storage, name="scaled", prefix="/scaled", **settings):
        assert running_replicas() == 1
        ended = threading.Event()

        def send_requests() -> None:
            while not ended.is_set():
                ask(PORT, ("/scaled/v1/predict", picture))

        with ThreadPoolExecutor(CLIENTS) as pool:
            for _ in range(CLIENTS):
                pool.submit(send_requests)
            try:
                until(lambda: running_replicas() == 2, seconds=SECONDS)
            finally:
                ended.set()
