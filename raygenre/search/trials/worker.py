"""The function that Ray Tune runs in workers: imports the training code and trains a trial.

Ray unpickles the function before it runs. If that fails, for example because a library is missing on the worker's
machine, Ray ends the worker and reports no exception. For this reason, the module itself imports no large library, and
a failed import is reported as the failure of the trial.
"""

import functools
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ray import ObjectRef

    from raygenre.search.trials.trainable import Plan, Tracks


def run(config: dict[str, Any], *, plan: "ObjectRef[Plan]", shared: "Sequence[ObjectRef[Tracks]]") -> None:
    """Train the setting of a `TrialConfig`; see `raygenre.search.trials.trainable.run_trial`."""
    if failure := _import_failure():
        from ray import tune

        tune.report(failure)
        return
    import ray

    from raygenre.search.trials.trainable import run_trial

    run_trial(config, plan=ray.get(plan), shared=shared)


@functools.cache  # a second attempt in the same process may fail with a different, misleading error
def _import_failure() -> dict[str, str]:
    """Import the training code; return the report of a `TrialResult` if that fails, and an empty dict otherwise."""
    try:
        import raygenre.search.trials.trainable  # noqa: F401
    except Exception as error:  # noqa: BLE001 (a library may raise anything while it is imported)
        return {"failure": f"{type(error).__name__}: {error}".splitlines()[0], "traceback": traceback.format_exc()}
    return {}
