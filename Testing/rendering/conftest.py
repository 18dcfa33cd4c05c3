"""The plain renderer that the fast one is held against."""

import pytest


@pytest.fixture(scope="session")
def reference():
    """`rendering.reference`."""
    pytest.importorskip("torch", reason="the reference renderer needs torch: pip install torch")
    from helpers import reference_renderer as reference

    return reference
