"""Only the messages of libraries are hidden while an image is read."""

from __future__ import annotations

import subprocess
import sys

import pytest

from MultiViewRegistrationLib.imaging.silence import silenced


def test_what_python_says_is_shown_while_libraries_are_silenced():
    code = """
import os, sys
from MultiViewRegistrationLib.imaging.silence import silenced
with silenced():
    with silenced():
        print("first", file=sys.stderr)
    os.write(2, b"of a library")
    print("second", file=sys.stderr)
os.write(2, b"third")
"""
    said = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, check=True, text=True
    ).stderr
    assert said.split() == ["first", "second", "third"]


@pytest.mark.parametrize("console", [None, object()])
def test_where_stderr_is_no_file_it_stays_what_it_is(monkeypatch, console):
    """Of a program without a console, and Slicer's, which knows no more than `write`."""
    monkeypatch.setattr(sys, "stderr", console)
    with silenced():
        assert sys.stderr is console
    assert sys.stderr is console
