"""What the tests of the regressor share; without PyTorch there are none."""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("torch") is None or find_spec("safetensors") is None:
    collect_ignore_glob = ["test_*.py"]
