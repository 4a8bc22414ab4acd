"""The threads that wait for the database of jobs and for the receivers of callbacks."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

SIZE = 8  # fewer than the connections that SQLAlchemy opens to a database

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """The threads of a replica's jobs.

    The event loop's own threads are not used, because predictions need them and a slow database could occupy them all.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(SIZE, thread_name_prefix="jobs")
        self._leases = ThreadPoolExecutor(1, thread_name_prefix="job-leases")

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the result of a function that runs in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(work, *args, **kwargs))

    async def run_lease(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do the same in the thread for leases, which expire if they have to wait for other work."""
        return await asyncio.get_running_loop().run_in_executor(self._leases, partial(work, *args, **kwargs))

    def close(self) -> None:
        """Let the threads end once they have finished their current work."""
        for pool in (self._pool, self._leases):
            pool.shutdown(wait=False, cancel_futures=True)
