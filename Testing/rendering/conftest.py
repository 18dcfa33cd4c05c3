"""The plain renderer that the fast one is held against."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def reference():
    """`rendering.reference`, on one thread.

    Small images are no work for several, which only wait for each other.
    """
    torch = pytest.importorskip(
        "torch", reason="the reference renderer needs torch: pip install torch"
    )
    import reference_renderer as reference

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield reference
    torch.set_num_threads(before)
