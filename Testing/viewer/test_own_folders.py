"""Folders of servers: of this process while it lives, and none of those that are dead."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from MultiViewRegistrationLib.viewer import own_folders


def of_a_dead_process(folder: Path) -> Path:
    """Renamed for a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    parts = folder.name.split("-")
    return folder.rename(folder.with_name("-".join([*parts[:3], str(ended.pid), *parts[4:]])))


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_all_temporary_files_lie_in_one_private_folder_that_goes(place):
    with own_folders.temporary():
        (folder,) = place.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert Path(tempfile.mkdtemp()).parent == folder
        assert not own_folders.abandoned(own_folders.TEMPORARY, place)  # of a server that lives
    assert not list(place.iterdir()) and tempfile.gettempdir() == str(place)


def test_what_dead_servers_left_is_removed_and_nothing_else(place):
    dead = of_a_dead_process(own_folders.new_folder(own_folders.TEMPORARY))
    (dead / "patient").mkdir()
    (dead / "patient" / "ct.nrrd").write_text("private")
    living = own_folders.new_folder(own_folders.TEMPORARY)
    others = [
        place / name for name in ("mvreg-view-x", "mvreg-view-0-1-a", f"{dead.name}x"[:-3].replace("-view", "-open"))
    ]
    for folder in others:
        folder.mkdir()
    link = place / dead.name.replace(dead.name[-4:], "link")
    link.symlink_to(living)
    with own_folders.temporary():
        assert not dead.exists()
        assert living.exists() and link.is_symlink() and all(folder.exists() for folder in others)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to be another user")
def test_those_of_another_user_stay(place):
    dead = of_a_dead_process(own_folders.new_folder(own_folders.TEMPORARY))
    shutil.chown(dead, 65534)
    with own_folders.temporary():
        assert dead.exists()
