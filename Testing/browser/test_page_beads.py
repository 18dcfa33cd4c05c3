"""Beads in the X-rays of the page: the phantom dropped with them, a bead clicked, the cameras used."""

import pytest
import SimpleITK as sitk
from helpers.bead_scene import PHANTOM, draw_beads, two_sides

from MultiViewRegistrationLib.io.points import read_bead_model

pytestmark = pytest.mark.slow
FOUND = "c('geometry', 'beads0') && !c('geometry', 'bead_progress')"


def test_a_bead_is_left_out_by_a_click_in_the_picture(serve, open_tab, tmp_path):
    model, server = read_bead_model(PHANTOM), serve()
    tab, files = open_tab(server), [PHANTOM]
    for name, camera in zip(("AP", "LAT"), two_sides(), strict=True):
        files.append(tmp_path / f"{name}.mha")
        image = sitk.GetImageFromArray(draw_beads(camera, model.points + [10, -5, 15]))
        sitk.WriteImage(image, str(files[-1]))
    server.send("files", *files)
    tab.wait_state(f"{FOUND} && c('geometry', 'beads0').label.startsWith('AP: 12 of 12')", 180)
    picture = tab.page.locator(".mv-sheet .mv-picture img").first
    tab.shot("beads found")
    mark = picture.evaluate(
        "e => { const svg = new DOMParser().parseFromString(decodeURIComponent(e.src.split(',').slice(1).join()), 'image/svg+xml')"
        ".documentElement; document.body.append(svg);"
        " const ring = svg.querySelector('#mark0').getBBox(), all = svg.viewBox.baseVal; svg.remove();"
        " return [(ring.x + ring.width / 2) / all.width, (ring.y + ring.height / 2) / all.height]; }"
    )
    box = picture.bounding_box()
    picture.click(position={"x": mark[0] * box["width"], "y": mark[1] * box["height"]})
    tab.wait_state(f"{FOUND} && c('geometry', 'beads0').label.startsWith('AP: 11 of 12')", 120)
    tab.page.get_by_role("button", name="Use these cameras").click()
    tab.page.locator(".mv-sheet").get_by_text("The camera comes from 11 beads").wait_for()
