"""A loop spread over threads: results come in the order of the items, and only a few items are held at once.

For work that releases Python's interpreter lock (numba kernels, numpy, Arrow). Nothing that is computed here may depend
on the number of threads.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def available_threads() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_order(function: Callable[[Item], Result], items: Iterable[Item], num_threads: int) -> Iterator[Result]:
    """Yield `function(item)` of each item, in order.

    Items are drawn in the caller's thread, at most two for each thread ahead of the result that is asked for.

    Args:
        function: called in several threads at once.
        items: drawn one by one.
        num_threads: 1 works in the caller's thread alone.
    """
    if num_threads <= 1:
        yield from map(function, items)
        return
    ahead: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(num_threads) as pool:
        try:
            for item in items:
                ahead.append(pool.submit(function, item))
                del item  # it may hold much memory, and drawing the next may take a while
                if len(ahead) > 2 * num_threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()
