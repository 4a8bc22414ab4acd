"""The outcomes of training runs whose tasks raised an error in Ray."""

from typing import Any

import pytest
import ray
from ray.exceptions import NodeDiedError, RayError, WorkerCrashedError

from raygenre.search.trials.failure_reason import WORKER_DIED
from raygenre.search.trials.training_task import wait_for


@pytest.mark.parametrize("error", [WorkerCrashedError(), NodeDiedError("the node is dead")])
def test_a_lost_worker_or_node_fails_one_training(error: RayError, monkeypatch: pytest.MonkeyPatch) -> None:
    def get(task: Any) -> None:
        raise error

    monkeypatch.setattr(ray, "get", get)  # Ray notices a lost node only after many seconds
    lost: Any = None
    assert wait_for(lost).failure == WORKER_DIED
