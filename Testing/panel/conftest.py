"""Fixtures of the tests that run a panel."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module

import pytest

#: What the host imports, and where it comes from.
NEEDED = {
    "PySide6.QtWidgets": (
        'pip install "PySide6-Essentials>=6.8"; Debian: apt install libdbus-1-3 libegl1 libfontconfig1 libgl1 libxkbcommon0'
    ),
    "trame_slicer.core": 'pip install "trame-slicer[standalone]>=2.0"; Debian: apt install libegl1 libgl1',
}


def missing(module: str) -> str | None:
    try:
        import_module(module)
    except ImportError as error:
        return f"needs {module.partition('.')[0]} ({error}): {NEEDED[module]}"
    return None


@pytest.fixture
def host() -> Iterator:
    """Slicer's stand-in, with an empty scene and no messages; a failure in a slot that nobody asked about fails the test."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    reason = next(filter(None, map(missing, NEEDED)), None)
    if reason is not None:
        if os.environ.get("MVREG_REQUIRE_PACKAGES") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    from slicer_host import Host

    host = Host()
    yield host
    host.close()
