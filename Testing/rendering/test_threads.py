"""Tasks run once each, errors come out, and blocks of rows cover an image."""

import os
import threading
import time

import pytest

from MultiViewRegistrationLib.errors import collect_warnings
from MultiViewRegistrationLib.rendering import devices
from MultiViewRegistrationLib.rendering.devices import (
    SAMPLES_PER_TASK,
    available_threads,
    row_blocks,
    run_tasks,
)


@pytest.fixture(params=["1", "3"], autouse=True)
def thread_count(request, monkeypatch):
    monkeypatch.setenv("MVREG_THREADS", request.param)
    return int(request.param)


def test_every_task_runs_once(thread_count):
    done, names = [], set()

    def task(number):
        names.add(threading.current_thread().name)
        done.append(number)

    run_tasks([lambda n=n: task(n) for n in range(50)])
    assert sorted(done) == list(range(50))
    assert len(names) <= thread_count


def test_tasks_within_a_task_are_done_by_its_own_thread(thread_count):
    """Waiting for the pool from within it, with all its threads at it, would never end."""
    pairs = []

    def outer():
        mine = threading.current_thread().name
        run_tasks([lambda: pairs.append((mine, threading.current_thread().name))] * 3)

    run_tasks([outer] * (2 * thread_count))
    assert len(pairs) == 6 * thread_count and all(mine == its for mine, its in pairs)


def test_an_error_is_raised_after_the_others_are_done(thread_count):
    done = []

    def slow():
        time.sleep(0.02)
        done.append(1)

    def wrong():
        raise ZeroDivisionError("on purpose")

    with pytest.raises(ZeroDivisionError, match="on purpose"):
        run_tasks([slow, slow, wrong, slow])
    count = len(done)
    time.sleep(0.05)
    assert len(done) == count >= 2  # nothing writes on behind the caller's back
    run_tasks([slow, slow])  # and the pool still works


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own():
    run_tasks([lambda: None] * 4)
    child = os.fork()
    if child == 0:
        try:
            run_tasks([lambda: None] * 4)
            os._exit(0)
        finally:
            os._exit(1)
    for _ in range(500):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            assert status == 0
            return
        time.sleep(0.02)
    os.kill(child, 9)
    os.waitpid(child, 0)
    pytest.fail("the forked process waits for threads that it does not have")


@pytest.mark.parametrize("samples", [1, 100_000, 10**9])
@pytest.mark.parametrize("rows", [1, 7, 513])
def test_row_blocks_cover_all_rows_once(rows, samples, thread_count):
    blocks = row_blocks(rows, samples)
    assert [row for first, end in blocks for row in range(first, end)] == list(range(rows))
    assert all(first < end for first, end in blocks)
    assert len(blocks) <= 2 * thread_count
    assert len(blocks) == 1 or samples >= len(blocks) * SAMPLES_PER_TASK


@pytest.mark.parametrize("wrong", ["two", "0", "1.5", "99999", "\u0664"])
def test_a_wrong_number_of_threads_is_said_once(monkeypatch, wrong):
    devices._warn_of_threads.cache_clear()
    monkeypatch.setenv("MVREG_THREADS", wrong)
    with collect_warnings() as said:
        assert available_threads() == available_threads() == len(os.sched_getaffinity(0))
    assert len(said) == 1 and f'MVREG_THREADS is "{wrong}"' in said[0]
    with collect_warnings() as said:
        for right in (" 3 ", "", "12"):
            monkeypatch.setenv("MVREG_THREADS", right)
            available_threads()
    assert not said
