"""One pool of threads for the kernels, which release the GIL."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise

#: Below this many samples of a volume, handing work to another thread costs more than it saves.
SAMPLES_PER_TASK = 40_000


def available_threads() -> int:
    """Cores this process may use, or the number in the environment variable MVREG_THREADS."""
    wanted = os.environ.get("MVREG_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_here = threading.local()


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="mvreg", initializer=lambda: setattr(_here, "in_pool", True))


if hasattr(os, "register_at_fork"):  # a forked child inherits the pool, but not its threads
    os.register_at_fork(after_in_child=_pool.cache_clear)


@contextmanager
def by_itself() -> Iterator[None]:
    """This thread does its tasks itself meanwhile: while one waits for the compiler, the pool is free for others."""
    had = hasattr(_here, "in_pool")
    _here.in_pool = True
    try:
        yield
    finally:
        if not had:
            del _here.in_pool


def run(tasks: Sequence[Callable[[], object]]) -> None:
    """Run all tasks and wait for them; the first error is raised. Within a task it is done by that task's own thread."""
    threads = available_threads()
    if threads == 1 or len(tasks) == 1 or hasattr(_here, "in_pool"):
        for task in tasks:
            task()
        return
    futures = [_pool(threads).submit(task) for task in tasks]
    wait(futures)
    for future in futures:
        future.result()


def row_blocks(rows: int, samples: int) -> list[tuple[int, int]]:
    """Split `rows` of an image that needs `samples` samples into as many blocks as are worth a thread each."""
    count = max(1, min(rows, 2 * available_threads(), samples // SAMPLES_PER_TASK))
    edges = [round(i * rows / count) for i in range(count + 1)]
    return list(pairwise(edges))
