"""A scene of slicer-core, and folders of servers that have ended."""

import subprocess
import sys

import pytest

pytest.importorskip("trame_slicer", reason='needs slicer-core: pip install -e ".[viewer]"')

from helpers.tiny_scene import scene, slicer_app

__all__ = ["end_process", "scene", "slicer_app"]


@pytest.fixture(scope="session")
def end_process():
    """Renames a folder of `folders` as one of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()

    def rename(folder):
        own = next(part for part in folder.name.split("-") if part.isdigit())
        return folder.rename(folder.with_name(folder.name.replace(f"-{own}-", f"-{ended.pid}-", 1)))

    return rename
