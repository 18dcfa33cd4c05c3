"""What the tests of the regressor share; without PyTorch there are none."""

from importlib.util import find_spec

import pytest

if find_spec("torch") is None or find_spec("safetensors") is None:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def windows(views):
    """What a network sees of the phantom's X-rays."""
    from MultiViewRegistrationLib.regressor.images import Window

    return [Window.of(view.camera) for view in views]
