import subprocess
import sys

import pytest
from helpers.program import ENVIRONMENT

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.registration import warm_up
from MultiViewRegistrationLib.rendering import kernel_cache


@pytest.mark.slow
def test_scipys_linear_algebra_is_whole_before_another_thread_reads_x_rays():
    """Numba imports a part of it: with the rest half loaded in the other thread, Python 3.14 ends both."""
    code = f"import sys, {warm_up.__name__}; sys.exit('scipy.linalg' not in sys.modules)"
    subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, check=True, timeout=60)


@pytest.fixture
def started(monkeypatch):
    """The functions of the child processes that `warm_up` starts, none of which exists, in a process that has loaded no kernel."""
    done = []

    class Child:
        def kill(self):
            done.append("killed")

        def wait(self):
            done.append("ended")

    def start(function):
        done.append(function)
        return Child()

    monkeypatch.setattr(warm_up, "start_compiling", start)
    monkeypatch.setattr(warm_up, "available_threads", lambda: 2)
    return done


def compiling(monkeypatch, times):
    """`warm_up` compiles so many kernels."""
    from numba.core import event

    def load():
        for _ in range(times):
            event.start_event("numba:compile")
            event.end_event("numba:compile")

    for part in ("_warm_up_scores", "warm_up_other_half"):
        monkeypatch.setattr(warm_up, part, lambda: None)
    monkeypatch.setattr(warm_up, "warm_up_drr", load)


@pytest.mark.parametrize("times", [0, 1, 3])
def test_a_child_process_is_started_once_where_a_kernel_is_compiled(monkeypatch, started, times):
    compiling(monkeypatch, times)
    warm_up.warm_up.__wrapped__()
    assert started == (["warm_up_other_half", "ended", "killed", "ended"] if times else [])


def test_a_corrupt_cache_is_deleted(monkeypatch, started, tmp_path):
    """Otherwise numba refuses it at every start, by a SystemError."""
    cache = kernel_cache.KernelCache(tmp_path, "version")
    monkeypatch.setattr(kernel_cache, "CACHE", cache)
    (cache.folder / "kernel.nbi").touch()
    cache.publish()

    def load():
        raise SystemError("NRT_adapt_ndarray_to_python, 'descr' is NULL")

    monkeypatch.setattr(warm_up, "warm_up_drr", load)
    with pytest.raises(InputError, match="corrupt and has been deleted. Start the program again"):
        warm_up.warm_up.__wrapped__()
    assert not list(tmp_path.rglob("*.nbi"))
