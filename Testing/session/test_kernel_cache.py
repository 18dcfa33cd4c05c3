"""Kernels are compiled in a child process, and only the first time: a window never waits for the compiler."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from MultiViewRegistrationLib.session import preparation

LIBRARY = Path(preparation.__file__).parents[2]
CHILD = """
import threading
from numba.core import event
from MultiViewRegistrationLib.registration.prepared_ct import warm_up_drr
from MultiViewRegistrationLib.session.preparation import load_kernels

class Compiled(event.Listener):
    def on_start(self, event): pass
    def on_end(self, event): print(event.data["dispatcher"].py_func.__name__)

event.register("numba:compile", Compiled())
load_kernels(warm_up_drr, lambda: print("compiling"))
"""


@pytest.fixture
def printed(tmp_path):
    """A function: what a process prints that loads the kernels, by the cache of this test."""

    def run(**environment) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", CHILD],
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
            env={**os.environ, "PYTHONPATH": str(LIBRARY), "NUMBA_CACHE_DIR": str(tmp_path), **environment},
        )
        return done.stdout.splitlines()

    return run


def test_they_are_compiled_elsewhere_and_once(printed):
    assert printed() == ["mark_unseen", "compiling"]  # the first was about to be compiled here, and no other
    assert printed() == []


def test_without_a_child_process_they_are_compiled_here(monkeypatch):
    def fail(*command, **how):
        raise OSError

    monkeypatch.setattr(preparation.subprocess, "run", fail)
    told = []

    def prepare():
        told.append("prepare")
        if len(told) == 1:
            raise preparation.NotCached

    preparation.load_kernels(prepare, lambda: told.append("compiling"))
    assert told == ["prepare", "compiling", "prepare"]
