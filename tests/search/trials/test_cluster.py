"""What a search may use of the connected cluster."""

import ray

from raygenre.search.trials.cluster import resources


def test_the_final_training_takes_what_the_trials_had_together(ray_cluster: None) -> None:
    everything = ray.cluster_resources()["CPU"]
    assert resources(None, 0, 0, private=True).final_cpus == everything
    assert resources(0.5, 0, 1, private=True).final_cpus == 0.5
    assert resources(1, 0, 1000, private=True).final_cpus == everything


def test_on_a_shared_cluster_the_final_training_takes_as_much_as_a_trial(ray_cluster: None) -> None:
    assert resources(None, 0, 0).final_cpus == 0
