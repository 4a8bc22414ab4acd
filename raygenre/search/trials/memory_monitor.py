"""Handles trials whose worker was killed by Ray's memory monitor."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from ray import tune
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.experiment import Trial

from raygenre.search.trials.failure_reason import latest_error
from raygenre.search.trials.out_of_memory import KILLED
from raygenre.search.trials.trial_config import TrialConfig


class MemoryWatch(tune.Callback):
    """Marks a trial that the memory monitor killed, so that its next worker reports a failure instead of training."""

    def __getstate__(self) -> dict[str, Any]:
        """Return an empty state, because Tune's pickled snapshots are never read."""
        return {}

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Mark a killed trial; Tune calls this before the trial's new worker receives the configuration."""
        if KILLED in latest_error(trial):
            trial.config.update(replace(TrialConfig.from_dict(trial.config), failure=KILLED).to_dict())


@contextmanager
def memory_monitor_survived() -> Iterator[None]:
    """Treat a worker that the memory monitor killed like any other worker that died.

    In Ray 2.60, such a worker causes an error that Tune does not handle and that would end the search.
    """
    manager: Any = RayActorManager
    original = manager._actor_task_failed

    def as_actor_death(self: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, OutOfMemoryError):
            exception = RayActorError(error_msg=f"{KILLED}\n{exception}")
        original(self, tracked_actor_task, exception)

    manager._actor_task_failed = as_actor_death
    try:
        yield
    finally:
        manager._actor_task_failed = original
