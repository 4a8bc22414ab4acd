"""Apply a function that uses torch to many items, with one thread per core."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from raygenre.system.worker_pool import cores

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]
"""Function to call with the number of items that are done and the total number of items."""


def on_all_cores(function: Callable[[Item], Result], items: Sequence[Item], progress: Progress | None) -> list[Result]:
    """Return the function's result for each item, computed with one thread per core.

    Within each thread, torch runs single-threaded, because more threads would compete for the cores.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads that start from now on inherit this number
    results: list[Result] = []
    try:
        with ThreadPoolExecutor(cores()) as pool:
            for result in pool.map(function, items):
                results.append(result)
                if progress:
                    progress(len(results), len(items))
    finally:
        torch.set_num_threads(threads)
    return results
