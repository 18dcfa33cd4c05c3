"""The published refinements need torch."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Small images are no work for several threads, which only wait for each other."""
    torch = pytest.importorskip("torch", reason="the published refinements need torch: pip install torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
