"""Beads in the X-rays of a panel: the phantom dropped, a bead clicked in its picture, the cameras used."""

import numpy as np
import pytest
import qt
import SimpleITK as sitk
from bead_scene import PHANTOM, draw_beads, two_sides
from gui_driver import GuiDriver

from MultiViewRegistrationLib.io.bead_model import read_bead_model


@pytest.fixture
def gui(host, tmp_path) -> GuiDriver:
    """With AP and LAT, which show the phantom."""
    model = read_bead_model(PHANTOM)
    for name, camera in zip(("AP", "LAT"), two_sides(), strict=True):
        image = sitk.GetImageFromArray(draw_beads(camera, model.points + [10, -5, 15]))
        sitk.WriteImage(image, str(tmp_path / f"{name}.mha"))
    gui = GuiDriver(host)
    gui.drop(tmp_path / "AP.mha", tmp_path / "LAT.mha")
    gui.wait_until_read()
    return gui


def wait_for(gui, caption: str) -> None:
    def found() -> bool:
        if gui.panel.geometry.form is None or gui.control("geometry", "bead_progress"):
            return False
        return gui.text("geometry", "beads0").startswith(caption)

    gui.wait(found, 120)


def greens(picture) -> int:
    """Of every second pixel."""
    places = ((x, y) for x in range(0, picture.width(), 2) for y in range(0, picture.height(), 2))
    colours = (picture.pixelColor(x, y) for x, y in places)
    return sum(colour.green() > colour.red() + 60 for colour in colours)


def test_a_dropped_phantom_a_click_and_cameras(host, gui):
    gui.drop(PHANTOM)
    wait_for(gui, "AP: 12 of 12")
    presenter = gui.panel.presenters.xrays.geometry.beads
    window = presenter._pictures[0][0]
    mark = next(each for each in presenter._marks(0) if each.name == "B4")
    shares = (mark.pixel + 0.5 - (window.left, window.top)) / (window.width, window.height)
    drawn = gui.drawn("geometry", "beads0")
    size, around = np.array(drawn._clicks.size), drawn.picture
    corner = (np.array([around.width, around.height]) - size) / 2
    assert greens(around.grab().toImage()) > 50  # its rings are drawn
    place = (corner + shares * size).round().astype(int).tolist()
    host.click(around, qt.QPoint(*place))
    wait_for(gui, "AP: 11 of 12")
    gui.press("geometry", "use_beads")
    host.process(0.1)
    records = [view.record for view in gui.panel.registration.xrays]
    assert [record.origin.split(",")[0] for record in records] == ["11 beads", "12 beads"]
