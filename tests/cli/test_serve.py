"""`raygenre serve`: its checks before it starts, and its clean shutdown."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest
from typer.testing import CliRunner, Result

from raygenre.cli import app
from raygenre.system.storage import Storage
from tests.helpers.mlflow_server import free_port
from tests.helpers.project import ROOT
from tests.helpers.storages import empty_storage


def serve(storage: Path, *arguments: str, **environment: str) -> Result:
    variables = {f"RAYGENRE_{name.upper()}": value for name, value in environment.items()}
    return CliRunner(env=variables).invoke(app, ["serve", "--storage", str(storage), *arguments])


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["--port", "TAKEN"], {}, "port TAKEN on 127.0.0.1 cannot be used: it is in use; choose another with --port"),
        (["--host", "0.0.0.0"], {}, "RAYGENRE_API_KEYS_FILE, or RAYGENRE_INSECURE=1"),
        (["--host", "192.0.2.1"], {"insecure": "1"}, "192.0.2.1 is not an address of this machine"),
        ([], {"threads": "many"}, "invalid settings: RAYGENRE_THREADS: Input should be a valid integer"),
        ([], {"api_keys": "short"}, "fewer than 16 characters"),
        ([], {}, "there is no model models:/raygenre@champion"),
    ],
)
def test_an_endpoint_that_cannot_start_says_why_in_a_line(
    arguments: list[str], environment: dict[str, str], message: str, tmp_path: Path
) -> None:
    storage = empty_storage(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        arguments = [argument.replace("TAKEN", port) for argument in ["--port", str(free_port()), *arguments]]
        result = serve(storage.root, *arguments, **environment)
    assert result.exit_code == 2, result.output
    [line] = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert message.replace("TAKEN", port) in line


@pytest.fixture
def champion(tmp_path: Path) -> Storage:
    from tests.helpers.serving import new_storage  # imports Ray Serve

    return new_storage(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_the_endpoint_ends_cleanly(number: signal.Signals, champion: Storage) -> None:
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-c", "from raygenre.cli import app; app()", "serve", "--port", str(port)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=os.environ | {"RAYGENRE_STORAGE": str(champion.root), "RAYGENRE_REPLICA_CPUS": "0"},
    ) as process:
        try:
            assert process.stdout
            lines = []
            for line in process.stdout:
                lines.append(line)
                if f"The endpoint is ready: http://127.0.0.1:{port}" in line:
                    break
            assert httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200, lines
            started = psutil.Process(process.pid).children(recursive=True)
            # Ctrl-C in a terminal reaches all processes.
            (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
            lines += process.stdout.readlines()
            assert process.wait(60) == 0, lines
        finally:
            process.kill()
    assert lines[-1] == "Endpoint stopped\n"
    assert not [line for line in lines if "Traceback" in line or "retries" in line]
    assert len(started) > 3
    assert not psutil.wait_procs(started, timeout=20)[1]
