"""How a batch runs: blocks of songs, pools of actors, and Ray Data's settings.

A damaged file may crash the process that decodes it. Ray would then restart the process and retry the same block
forever. Therefore, a restarted worker processes each song in a separate process (`raygenre.system.worker_pool`),
reports any song that crashes its process, and continues with the next song.
"""

import logging
from collections.abc import Callable, Generator, Iterable
from typing import Any, TypeVar

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext, Dataset
from ray.exceptions import RayError, RayTaskError

from raygenre.batch.errors import BatchError
from raygenre.system import worker_pool

SONGS_PER_BLOCK = 256
"""Maximum number of songs in a block. A block becomes one output file and is repeated if its worker is killed."""
SONGS_PER_GPU_BATCH = 64
PROBLEM = "problem"
"""Column with the reason why a song's results could not be stored; empty if they were stored."""

_BLOCKS_PER_WORKER = 4  # so that all workers are busy until shortly before the end

Item = TypeVar("Item")
Result = TypeVar("Result")


def workers(jobs: int) -> int:
    """Return the number of workers: `jobs` or, if that is 0, one per CPU of the cluster."""
    return jobs or max(1, int(ray.cluster_resources().get("CPU", 1)))


def gpus() -> int:
    """Return the number of GPUs in the cluster."""
    return int(ray.cluster_resources().get("GPU", 0))


def block_size(songs: int, jobs: int) -> int:
    """Return the number of songs per block."""
    return max(1, min(SONGS_PER_BLOCK, songs // (_BLOCKS_PER_WORKER * workers(jobs))))


def pool(size: int, *, initial: int = 1, blocks: int = 1) -> ActorPoolStrategy:
    """Return a pool of actors.

    Args:
        size: number of actors; 0 to start with `initial` and grow to as many as the cluster has room for.
        blocks: number of blocks assigned to an actor at a time. With 1, no block waits while another actor is idle;
            with 2, one block is fetched while the other is processed.
    """
    if size:
        return ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=blocks)
    return ActorPoolStrategy(min_size=1, initial_size=initial, max_tasks_in_flight_per_actor=blocks)


def set_up() -> None:
    """Stop Ray Data from printing, and allow pools to grow while all of their actors are busy.

    Errors are still raised, and Ray Data still writes its log to Ray's session folder.
    """
    context = DataContext.get_current()
    context.autoscaling_config.actor_pool_util_upscaling_threshold = 1.0  # one block per actor; see `pool`
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for handler in logging.getLogger("ray.data").handlers:
        if type(handler) is logging.StreamHandler or type(handler).__name__ == "PlainRayHandler":
            handler.setLevel(logging.CRITICAL)


def rows(dataset: Dataset, output: object) -> Generator[dict[str, Any], None, None]:
    """Execute a dataset, and yield its rows as they arrive.

    Args:
        dataset: a dataset that processes songs and stores the results. If a row could not be stored, the column
            `PROBLEM` contains the reason.
        output: the place where the rows are stored, named in messages.

    Raises:
        BatchError: a row could not be stored, or the cluster was lost.
    """
    try:
        for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
            table: pa.Table = batch
            for row in table.to_pylist():
                if row[PROBLEM]:
                    raise BatchError(
                        f"{output} cannot be written: {row[PROBLEM]}; run the same command again to continue"
                    )
                yield row
    except RayTaskError:  # a bug, so the traceback is kept
        raise
    except RayError as error:
        reason = str(error).partition("\n")[0]
        raise BatchError(f"the cluster lost the batch: {reason}; run the same command again to continue") from error


def was_restarted() -> bool:
    """Return whether this actor was restarted after a crash."""
    return bool(ray.get_runtime_context().was_current_actor_reconstructed)


def attempts(
    function: Callable[[Item], Result], items: Iterable[Item], *, isolated: bool
) -> Generator[tuple[Item, Result | Exception], None, None]:
    """Yield each item with the function's result or the exception that it raised. Runs in a worker.

    Args:
        isolated: whether to process items in separate processes, so that a crash affects only one item.
    """
    return worker_pool.unordered(function, items, jobs=2 if isolated else 1)
