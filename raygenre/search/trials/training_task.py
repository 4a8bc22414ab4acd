"""Waits for a training run that is a Ray task: a repeat or the final training."""

import ray
from ray.exceptions import OutOfMemoryError, RayTaskError, WorkerCrashedError

from raygenre.search.trials.failure_reason import WORKER_DIED
from raygenre.search.trials.out_of_memory import KILLED, error_line
from raygenre.search.trials.trainable import Training


def wait_for(training: "ray.ObjectRef[Training]") -> Training:
    """Wait for a training run and return its outcome; if its worker died or raised an exception, that is a failure.

    Raises:
        OSError: the worker cannot write its training state.
    """
    try:
        return ray.get(training)
    except OutOfMemoryError:
        return Training([], KILLED)
    except WorkerCrashedError:
        return Training([], WORKER_DIED)
    except RayTaskError as error:
        if isinstance(error.cause, OSError):
            raise error.cause from None
        return Training([], error_line(error.cause), traceback=str(error))
