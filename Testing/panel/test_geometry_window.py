"""The window with the geometry stands beside the 3D view that follows it."""

from __future__ import annotations

import pytest
from gui_driver import GuiDriver
from phantom_scene import begun, make_registration


@pytest.mark.parametrize(
    "seen, size, corner",
    [
        ((0, 0, 400, 800), (900, 300), (700, 600)),  # to the right
        ((900, 0, 700, 900), (800, 300), (0, 600)),  # to the left
        ((100, 500, 1500, 400), (1200, 400), (400, 0)),  # above
        ((100, 0, 1500, 600), (2000, 300), (0, 600)),  # below, wider than the screen
    ],
)
def test_the_corner_that_hides_least(host, seen, size, corner):
    from MultiViewRegistrationLib.panel.geometry import aside

    assert aside(seen, size, (0, 0, 1600, 900)) == corner


def test_the_window_leaves_the_3d_view_in_sight_until_a_person_moves_it(host, ct, views):
    person = GuiDriver(host)
    person.give_views(240, 200)
    person.begin("xrays", begun(make_registration(host.scene, ct, views)))
    host.click(person.ui.layoutButton)
    person.open_geometry(0)
    window, view = person.panel.geometry.dialog, person.views.threeDWidget(0).threeDView()
    from PySide6 import QtCore

    hidden = window.frameGeometry.intersected(
        QtCore.QRect(view.mapToGlobal(QtCore.QPoint(0, 0)), view.size)
    )
    screen = host.main_window.windowHandle().screen().availableGeometry
    if screen.width() >= window.width + 240 or screen.height() >= window.height + 200:
        assert hidden.isEmpty()
    window.move(5, 7)
    person.panel.invalidate()
    host.process(0.2)
    assert (window.x, window.y) == (5, 7)
