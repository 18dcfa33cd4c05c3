"""A case on disk with CT and X-rays of the phantom, and the program run as a person runs it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from phantom_case import write_phantom_case
from program import ENVIRONMENT, MVREG


@pytest.fixture(scope="session")
def case_file(tmp_path_factory) -> Path:
    """A case.json of the phantom with truth, its start 9 mm off. Not to be changed by a test."""
    return write_phantom_case(tmp_path_factory.mktemp("phantom"))


@pytest.fixture
def mvreg():
    """Runs `mvreg` in a process of its own; returns the finished process with its output as text."""

    def run(*arguments, **options) -> subprocess.CompletedProcess:
        return subprocess.run([*MVREG, *map(str, arguments)], env=ENVIRONMENT, capture_output=True, text=True, timeout=300, **options)

    return run

