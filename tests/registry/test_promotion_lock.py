import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from raygenre.registry import promotion_lock
from raygenre.tracking.server import Server
from tests.helpers.mlflow_server import MlflowServer
from tests.helpers.storages import empty_storage


@pytest.fixture
def on_a_server(mlflow_server: MlflowServer) -> MlflowClient:
    return MlflowClient(mlflow_server.uri, registry_uri=mlflow_server.uri)


def check_mutual_exclusion(client: MlflowClient) -> None:
    inside: list[int] = []
    counts: list[int] = []

    def work() -> None:
        for _ in range(3):
            with promotion_lock.hold(client) as still_held:
                inside.append(1)
                counts.append(len(inside))
                time.sleep(0.05)
                assert still_held()
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [1] * 9


def test_one_thread_at_a_time_holds_the_lock_of_a_database(tmp_path: Path) -> None:
    check_mutual_exclusion(Server(empty_storage(tmp_path)).client)


@pytest.mark.integration
def test_a_killed_process_releases_the_lock_of_a_database(tmp_path: Path) -> None:
    client = Server(empty_storage(tmp_path)).client
    program = (
        "import sys, time\n"
        "from mlflow.tracking import MlflowClient\n"
        "from raygenre.registry import promotion_lock\n"
        "with promotion_lock.hold(MlflowClient(sys.argv[1], registry_uri=sys.argv[1])):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", program, client.tracking_uri]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "held\n"
            waiting = threading.Thread(target=lambda: promotion_lock.hold(client).__enter__(), daemon=True)
            waiting.start()
            waiting.join(0.5)
            assert waiting.is_alive()
        finally:
            process.kill()
    waiting.join(30)
    assert not waiting.is_alive()


@pytest.mark.slow
def test_one_thread_at_a_time_holds_the_lock_of_a_server(on_a_server: MlflowClient) -> None:
    check_mutual_exclusion(on_a_server)
    with pytest.raises(MlflowException, match="not found"):
        on_a_server.get_registered_model(promotion_lock.LOCK_MODEL)


@pytest.mark.slow
def test_an_expired_lock_is_deleted(on_a_server: MlflowClient) -> None:
    on_a_server.create_registered_model(promotion_lock.LOCK_MODEL, tags={"owner": "a killed process"})
    started = time.monotonic()
    with promotion_lock.hold(on_a_server, max_held=1) as still_held:
        assert time.monotonic() - started >= 1
        assert still_held()


@pytest.mark.slow
def test_a_slow_holder_notices_that_it_lost_the_lock(on_a_server: MlflowClient) -> None:
    with promotion_lock.hold(on_a_server) as still_held:
        with promotion_lock.hold(on_a_server, max_held=0.5) as other_still_held:
            assert other_still_held()
            assert not still_held()
        assert not still_held()


@pytest.mark.slow
def test_the_lock_is_released_after_an_error(on_a_server: MlflowClient) -> None:
    with pytest.raises(ZeroDivisionError), promotion_lock.hold(on_a_server):
        raise ZeroDivisionError
    with promotion_lock.hold(on_a_server) as still_held:
        assert still_held()
