"""Iterate over an async generator from sync code, with immediate cancellation."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")


def iterate_in_thread(items: AsyncGenerator[T, None], close: Callable[[], Awaitable[None]]) -> Generator[T, None, None]:
    """Yield the items of an async generator that runs in its own event loop and thread.

    An event loop is used because threads with blocking requests could not be interrupted, for example by Ctrl-C. It
    needs its own thread because the main thread of a notebook already runs an event loop.

    Args:
        close: function to call in the event loop at the end.

    Raises:
        Exception: any exception that the async generator raises.
    """
    results: SimpleQueue[T | None] = SimpleQueue()  # None: the end

    async def forward() -> None:
        try:
            async with aclosing(items):
                async for item in items:
                    results.put(item)
        finally:
            await close()

    loop = asyncio.new_event_loop()
    task = loop.create_task(forward())
    task.add_done_callback(lambda _: results.put(None))

    def run() -> None:
        loop.run_until_complete(asyncio.wait([task]))
        loop.run_until_complete(loop.shutdown_default_executor())

    thread = threading.Thread(target=run, name="raygenre-client", daemon=True)
    thread.start()
    try:
        while (result := results.get()) is not None:
            yield result
    finally:
        loop.call_soon_threadsafe(task.cancel)  # has no effect if the task is done
        thread.join()
        loop.close()
    task.result()
