"""Where a person could not go on, or saw nothing."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image


def press(tab, button) -> None:
    """Click with the mouse as a hand does, which holds it for a moment: the server's answer to what was typed comes meanwhile."""
    box = button.bounding_box()
    tab.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.page.mouse.down()
    tab.page.wait_for_timeout(300)
    tab.page.mouse.up()


def pictures(tab, where: str) -> list[np.ndarray]:
    """The pictures from the server that the page shows there, uint8 (rows, columns, 3)."""
    found = tab.page.evaluate("""(where) => [...document.querySelectorAll(where)].map(image => {
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [image.naturalWidth || 1, image.naturalHeight || 1];
        canvas.getContext("2d").drawImage(image, 0, 0);
        return canvas.toDataURL("image/png").split(",")[1];
    })""", where)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")) for picture in found]


def test_the_first_click_on_apply_counts_while_a_field_has_the_focus(tab):
    tab.open_step("X-rays")
    tab.page.get_by_role("button", name="view1").first.click()
    field = tab.page.get_by_label("Projection matrix")
    given = field.input_value()
    for factor, refused in (("2", False), ("3", True), ("1", False)):
        if refused:  # the sentence about it goes when it is mended, and what is below moves up
            field.fill("nothing")
            field.press("Tab")
            tab.wait_state("s.xrays.geometry.problem", 10)
        scaled = " ".join(f"{float(factor) * float(number):.6g}" for number in given.split())
        field.fill(scaled)
        field.focus()
        assert tab.button("Apply").is_disabled()
        press(tab, tab.button("Apply"))
        tab.wait_state("!s.xrays.geometry.changed", 10)
    assert not tab.state("message")


def test_the_slices_follow_the_ct_when_a_movement_has_taken_it_out_of_them(tab):
    slices = ".mv-scene .mv-cell:not(.mv-3d) img"
    tab.page.wait_for_function("(where) => document.querySelectorAll(where).length === 3", arg=slices)

    def seen() -> list[bool]:
        return [bool((picture.max(2) > 40).mean() > 0.05) for picture in pictures(tab, slices)]

    def wait_for_ct() -> None:
        for _ in range(100):
            if seen() == [True] * 3:
                return
            tab.page.wait_for_timeout(100)
        assert seen() == [True] * 3

    wait_for_ct()
    tab.open_step("Start")
    for axis, far in (("S", "400"), ("L", "-300"), ("P", "500")):
        field = tab.page.get_by_label(axis, exact=True)
        field.fill(far)
        field.press("Enter")
        tab.page.wait_for_timeout(1500)
        wait_for_ct()
        tab.button("Centre the CT in the X-rays").click()
        tab.page.wait_for_timeout(1500)
        wait_for_ct()


def test_a_second_tab_of_another_size_does_not_distort_the_first(tab, open_tab):
    """The picture keeps its proportions in both, and the page under the mouse gets it in its own size."""
    second = open_tab(tab.server, width=900, height=1200)
    second.ready()
    where = ".mv-scene img"

    def fits(page) -> list[str]:
        return page.page.evaluate("where => [...document.querySelectorAll(where)].map(image => getComputedStyle(image).objectFit)", where)

    for page in (tab, second, tab):
        area = page.page.locator(".mv-3d .mv-fill").first.bounding_box()
        page.page.mouse.move(area["x"] + area["width"] / 3, area["y"] + area["height"] / 3)
        page.page.mouse.move(area["x"] + area["width"] / 2, area["y"] + area["height"] / 2, steps=4)
        page.page.wait_for_function("""() => { const image = document.querySelector('.mv-3d img'), area = image.parentElement;
            return Math.abs(image.naturalWidth - area.clientWidth) < 2 && Math.abs(image.naturalHeight - area.clientHeight) < 2; }""")
        assert set(fits(tab) + fits(second)) == {"contain"}
    tab.shot("first")
    second.shot("second")
