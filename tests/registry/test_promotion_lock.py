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


def check_that_one_at_a_time_holds_it(client: MlflowClient) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(3):
            with promotion_lock.held(client) as still:
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.05)
                assert still()
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 9


def test_one_at_a_time_holds_the_lock_of_a_database(tmp_path: Path) -> None:
    check_that_one_at_a_time_holds_it(Server(empty_storage(tmp_path)).client)


@pytest.mark.integration
def test_a_process_that_is_killed_keeps_no_lock_of_a_database(tmp_path: Path) -> None:
    client = Server(empty_storage(tmp_path)).client
    program = (
        "import sys, time\n"
        "from mlflow.tracking import MlflowClient\n"
        "from raygenre import promotion_lock\n"
        "with promotion_lock.held(MlflowClient(sys.argv[1], registry_uri=sys.argv[1])):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", program, client.tracking_uri]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "held\n"
            waiting = threading.Thread(target=lambda: promotion_lock.held(client).__enter__(), daemon=True)
            waiting.start()
            waiting.join(0.5)
            assert waiting.is_alive()
        finally:
            process.kill()
    waiting.join(30)
    assert not waiting.is_alive()


@pytest.mark.slow
def test_one_at_a_time_holds_the_lock_of_a_server(on_a_server: MlflowClient) -> None:
    check_that_one_at_a_time_holds_it(on_a_server)
    with pytest.raises(MlflowException, match="not found"):
        on_a_server.get_registered_model(promotion_lock.LOCK)


@pytest.mark.slow
def test_a_lock_that_nobody_gives_back_is_taken_away(on_a_server: MlflowClient) -> None:
    on_a_server.create_registered_model(promotion_lock.LOCK, tags={"owner": "somebody who was killed"})
    began = time.monotonic()
    with promotion_lock.held(on_a_server, dead=1) as still:
        assert time.monotonic() - began >= 1
        assert still()


@pytest.mark.slow
def test_who_was_too_slow_sees_that_another_has_it(on_a_server: MlflowClient) -> None:
    with promotion_lock.held(on_a_server) as still:
        with promotion_lock.held(on_a_server, dead=0.5) as still_another:
            assert still_another()
            assert not still()
        assert not still()


@pytest.mark.slow
def test_the_lock_is_given_back_after_an_error(on_a_server: MlflowClient) -> None:
    with pytest.raises(ZeroDivisionError), promotion_lock.held(on_a_server):
        raise ZeroDivisionError
    with promotion_lock.held(on_a_server) as still:
        assert still()
