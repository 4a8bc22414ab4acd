"""A search's resources on a cluster, and unusable cluster addresses."""

import pytest
import ray

from raygenre.search.space.config import Resources
from raygenre.search.trials.cluster import ClusterError, connect, resources, slots
from raygenre.system.ray_folder import RayFolderError


def test_the_final_training_gets_all_cpus_of_the_trials(ray_cluster: None) -> None:
    total = ray.cluster_resources()["CPU"]
    assert resources(None, 0, 0, private=True).final_cpus == total
    assert resources(0.5, 0, 1, private=True).final_cpus == 0.5
    assert resources(1, 0, 1000, private=True).final_cpus == total


def test_on_a_shared_cluster_it_gets_no_more_than_a_trial(ray_cluster: None) -> None:
    assert resources(None, 0, 0).final_cpus == 0


def test_slots_are_the_trials_that_fit_at_the_same_time(ray_cluster: None) -> None:
    cpus = int(ray.cluster_resources()["CPU"])
    assert slots(Resources(1, 0)) == cpus
    assert slots(Resources(0.5, 0)) == 2 * cpus
    assert slots(Resources(1, 0, max_concurrent=1)) == 1
    assert slots(Resources(cpus, 0)) == 1
    assert slots(Resources(1, 1)) == max(1, int(ray.cluster_resources().get("GPU", 0)))


@pytest.mark.parametrize("address", ["nowhere", "ray://10.0.0.1:10001"])
def test_an_address_that_cannot_be_used_is_reported(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(ClusterError, match=f"{address} is"):
        connect(address)


def test_unsuitable_ray_tmpdir_is_reported_before_ray_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", f"/tmp/{'x' * 76}")
    with pytest.raises(RayFolderError, match="set RAY_TMPDIR to a folder of your own"):
        connect(None)
