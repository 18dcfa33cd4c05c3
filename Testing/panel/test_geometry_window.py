"""The window with the geometry stands beside the 3D view that follows it."""

import pytest

from MultiViewRegistrationLib.panel.geometry import aside


@pytest.mark.parametrize(
    "seen, size, corner",
    [
        ((0, 0, 400, 800), (900, 300), (700, 600)),  # to the right
        ((900, 0, 700, 900), (800, 300), (0, 600)),  # to the left
        ((100, 500, 1500, 400), (1200, 400), (400, 0)),  # above
        ((100, 0, 1500, 600), (2000, 300), (0, 600)),  # below, wider than the screen
    ],
)
def test_the_corner_that_hides_least(seen, size, corner):
    assert aside(seen, size, (0, 0, 1600, 900)) == corner
