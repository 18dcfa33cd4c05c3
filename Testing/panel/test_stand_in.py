"""Slicer's stand-in fails where Slicer fails."""

from __future__ import annotations

import pytest


def test_each_file_beside_the_module_file_must_be_a_module(host, tmp_path):
    (tmp_path / "Lonely.py").write_text("class Lonely:\n    def __init__(self, parent): pass\n")
    host.load_module(tmp_path / "Lonely.py")
    (tmp_path / "helper.py").touch()
    with pytest.raises(RuntimeError, match="class helper was not found"):
        host.load_module(tmp_path / "Lonely.py")
