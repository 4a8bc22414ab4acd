"""A trial that needs more memory than there is: it fails with that reason, once, and the search goes on.

Its state is FAIL, which no sampler of Optuna learns from. A violated constraint would be the other way to say
"infeasible", but only TPE hears one without a value, and only of a trial that calls itself stopped; the Gaussian
process wants a value and the same constraints of every trial. Neither a loss that nobody measured nor a stop that
nobody ordered is told to Optuna.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from ray import tune
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.experiment import Trial

REASON = "out of memory"
_SIGNS = ("can't allocate memory", "not enough memory", "DefaultCPUAllocator", "CUDA out of memory")
_KILLED = f"{REASON}: Ray ended the worker because its machine's memory was full"


def out_of_memory(error: Exception) -> str:
    """Return why a training ended, if it ran out of memory; raise the error again if not."""
    short_of_it = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    if not short_of_it and not any(sign in str(error) for sign in _SIGNS):
        raise error
    return f"{REASON}: {str(error).splitlines()[0] if str(error) else type(error).__name__}"


class MemoryWatch(tune.Callback):
    """Tells a trial whose worker Ray's memory monitor killed to report that, instead of filling the memory again."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing for Tune's snapshots, which are pickles that no one reads."""
        return {}

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Called when a trial waits to be started again, before its new worker gets the configuration."""
        if _KILLED in str(trial.get_pickled_error()):
            trial.config["failure"] = _KILLED


@contextmanager
def memory_monitor_survived() -> Iterator[None]:
    """Within this context a worker that Ray's memory monitor kills is a worker that died.

    Ray 2.60 has an error of its own for it that Tune does not know: it would end the search.
    """
    manager: Any = RayActorManager
    original = manager._actor_task_failed

    def as_death(self: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, OutOfMemoryError):
            exception = RayActorError(error_msg=f"{_KILLED}\n{exception}")
        original(self, tracked_actor_task, exception)

    manager._actor_task_failed = as_death
    try:
        yield
    finally:
        manager._actor_task_failed = original
