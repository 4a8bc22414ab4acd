"""Ray's memory monitor: what the driver does about a trial whose worker it killed, see `out_of_memory`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray import tune
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.experiment import Trial

from raygenre.search.trials.out_of_memory import KILLED


class MemoryWatch(tune.Callback):
    """Tells a trial whose worker Ray's memory monitor killed to report that, instead of filling the memory again."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing for Tune's snapshots, which are pickles that no one reads."""
        return {}

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Called when a trial waits to be started again, before its new worker gets the configuration."""
        if KILLED in str(trial.get_pickled_error()):
            trial.config["failure"] = KILLED


@contextmanager
def memory_monitor_survived() -> Iterator[None]:
    """Within this context a worker that Ray's memory monitor kills is a worker that died.

    Ray 2.60 has an error of its own for it that Tune does not know: it would end the search.
    """
    manager: Any = RayActorManager
    original = manager._actor_task_failed

    def as_death(self: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, OutOfMemoryError):
            exception = RayActorError(error_msg=f"{KILLED}\n{exception}")
        original(self, tracked_actor_task, exception)

    manager._actor_task_failed = as_death
    try:
        yield
    finally:
        manager._actor_task_failed = original
