"""If a node dies during a search, its trials continue on other nodes from their last epoch."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from tests.helpers.driver import Driver

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A local cluster with one node, which cannot run trials; the tests add nodes that can."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    yield cluster
    cluster.shutdown()


def test_a_killed_node_fails_no_trial(cluster: Cluster, tmp_path: Path, tracks_folder: Path) -> None:
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    options = ("--address", cluster.address)
    driver = Driver(tmp_path / "results", tracks_folder, trials=4, epochs=6, concurrent=2, options=options)
    try:
        driver.start()
        driver.wait_for_epochs(4)
        cluster.remove_node(nodes[0], allow_graceful=False)
        before = driver.ledger()
        cluster.add_node(num_cpus=1)
        driver.finish()
        for early, late in zip(before, driver.ledger(), strict=False):
            assert early.intermediate_values.items() <= late.intermediate_values.items()
        driver.check_all_is_there()
    finally:
        driver.kill()
