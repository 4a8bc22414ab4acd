"""Studies as jobs of a Ray cluster with a token: submitted, shared out, and surviving the arbiter's death."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.processes import titled
from tests.helpers.ray_nodes import RayNodes, ray_nodes
from tests.helpers.submitted import Service

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayNodes]:
    with ray_nodes(cpus=2) as nodes:
        yield nodes


@pytest.fixture
def service(nodes: RayNodes, tmp_path: Path) -> Service:
    return Service(str(tmp_path / "results"), {**nodes.environment, "RAY_ADDRESS": nodes.address})


def test_two_studies_share_a_cluster(service: Service, tracks_folder: Path) -> None:
    service.submit("spring", tracks_folder, trials=4, epochs=8)
    service.wait_for("spring", lambda study: study["places"]["running"] == 2)
    service.submit("autumn", tracks_folder, "--user", "bob", trials=2, epochs=4)
    service.wait_for("autumn", lambda study: study["places"]["running"] == 1)
    service.wait_for("spring", lambda study: study["places"] == {"running": 1, "granted": 1, "max_concurrent": None})
    [arbiter] = titled("ray::Arbiter")
    os.kill(arbiter, signal.SIGKILL)
    service.call("set", "autumn", "--priority", "1")
    service.wait_for("spring", lambda study: study["places"]["granted"] == 0)
    service.call("stop", "spring")
    done = service.wait_for("autumn", lambda study: study["state"] == "done")
    assert done["trials"]["completed"] == 2
    stopped = service.wait_for("spring", lambda study: study["state"] == "stopped")
    assert stopped["places"]["granted"] is None
    service.call("resume", "spring")
    service.wait_for("spring", lambda study: study["state"] == "done")
    assert "Next:" in service.call("logs", "spring").stdout


def test_a_wrong_token_is_an_error(service: Service, nodes: RayNodes, tracks_folder: Path) -> None:
    stranger = Service(
        service.storage, {"RAY_ADDRESS": nodes.address, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "x" * 40}
    )
    result = stranger.call("submit", "--data", str(tracks_folder), check=False)
    assert result.returncode == 2
    assert "rejected the request" in result.stderr
    assert "RAY_AUTH_TOKEN" in result.stderr
    assert service.list() == {}


def test_a_cluster_without_the_package_is_an_error(service: Service, tracks_folder: Path) -> None:
    result = service.call("submit", "--data", str(tracks_folder), "--image-code", check=False)
    assert result.returncode == 2
    assert "No module named 'raygenre'" in result.stderr
    assert service.list() == {}
