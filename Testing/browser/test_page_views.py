"""Landmarks clicked in the views, layouts, slice controls, and tabs of different sizes."""

import numpy as np
import pytest
from helpers.file_io import read_json
from served import mtre_mm

pytestmark = pytest.mark.slow

#: Where a person clicks in a slice, in shares of its width and height.
CLICKS = {
    "Axial": ((0.35, 0.4), (0.62, 0.62)),
    "Coronal": ((0.4, 0.6), (0.66, 0.4)),
    "Sagittal": ((0.42, 0.35),),
}


def test_a_second_tab_of_another_size_does_not_distort_the_first(tab, open_tab):
    """The picture keeps its proportions in both, and the page under the mouse gets it in its own size."""
    second = open_tab(tab.server, width=900, height=1200)
    second.ready()
    fits = "() => [...document.querySelectorAll('.mv-scene img')].map(image => getComputedStyle(image).objectFit)"
    for page in (tab, second, tab):
        area = page.page.locator(".mv-3d .mv-fill").first.bounding_box()
        page.page.mouse.move(area["x"] + area["width"] / 3, area["y"] + area["height"] / 3)
        page.page.mouse.move(area["x"] + area["width"] / 2, area["y"] + area["height"] / 2, steps=4)
        page.page.wait_for_function("""() => { const image = document.querySelector('.mv-3d img'), area = image.parentElement;
            return Math.abs(image.naturalWidth - area.clientWidth) < 2 && Math.abs(image.naturalHeight - area.clientHeight) < 2; }""")
        assert set(tab.page.evaluate(fits) + second.page.evaluate(fits)) == {"contain"}


def test_landmarks_are_clicked_in_slices_and_x_rays(tab, case_file, tmp_path):
    """In the X-rays they are clicked where the truth has them.

    What was clicked in the CT the X-rays show, too.
    """
    case, page = read_json(case_file), tab.page
    tab.open_step("Start")
    page.get_by_label("Landmarks", exact=True).check(force=True)
    tab.button("Click landmarks").click()
    for slice_name, places in CLICKS.items():
        box = page.locator(".mv-cell", has=page.get_by_text(slice_name, exact=True)).bounding_box()
        for x, y in places:
            count = len(tab.control("start", "landmarks")["lines"])
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
            page.wait_for_timeout(100)
            page.mouse.down()
            page.wait_for_timeout(60)
            page.mouse.up()
            tab.wait_state(f"c('start', 'landmarks').lines.length === {count + 1}")
    drawn = "[...document.querySelectorAll('.mvx')].map(each => each.querySelectorAll('.landmark.ct').length)"
    page.wait_for_function(f"() => {drawn}.join() === '5,5'")
    marks = page.evaluate("() => document.querySelector('.mvx').xray.view.landmarks")
    to_view = "([n, pixel]) => document.querySelectorAll('.mvx')[n].xray.frame.toView(pixel)"
    for mark in marks:
        truth = np.array(case["truth"]["world_from_ct"]) @ [*mark["in_ct"], 1]
        for number, view in enumerate(case["views"]):
            u, v, w = np.array(view["projection_matrix"]) @ truth
            x, y = page.evaluate(to_view, [number, [u / w, v / w]])
            page.locator(".mvx-surface").nth(number).click(position={"x": x, "y": y})
            cell = f"lines.find(line => line.id === '{mark['name']}').cells[{number + 2}].text"
            tab.wait_state(f"/mm|\u2714/.test(c('start', 'landmarks').{cell})")
    beside = "[...document.querySelectorAll('.landmark.clicked text')].map(t => t.textContent)"
    page.wait_for_function(f"() => {beside}.filter(text => text.endsWith(' mm')).length === 10")
    tab.button("Stop clicking").click()
    tab.register()
    lines = tab.control("start", "landmarks")["lines"]
    texts = [cell["text"] for line in lines for cell in line["cells"] if "mm" in cell["text"]]
    assert len(texts) == 10 and max(float(text.split()[0]) for text in texts) < 2.0
    assert mtre_mm(tab.exported(tmp_path), case) < 1.0


# How a page looks


def sizes(page):
    """(width, height) of the parts of the page; of hidden ones 0."""
    return page.evaluate(
        "() => Object.fromEntries(['.mv-steps', '.mv-xrays', '.mv-scene', '.mv-3d'].map(each => {"
        " const box = document.querySelector(each).getBoundingClientRect(); return [each, [box.width, box.height]]; }))"
    )


def test_splitters_and_layouts_are_moved_by_mouse_and_keys_and_kept(tab):
    page, before = tab.page, sizes(tab.page)
    steps = page.get_by_role("separator", name="Width of the steps")
    views = page.get_by_role("separator", name="Height of")
    box = steps.bounding_box()
    page.mouse.move(box["x"] + 4, 500)
    page.mouse.down()
    page.mouse.move(box["x"] + 104, 500, steps=4)
    page.mouse.up()
    views.focus()
    page.keyboard.press("ArrowUp")
    now = sizes(page)
    assert now[".mv-steps"][0] == before[".mv-steps"][0] + 100
    assert now[".mv-xrays"][1] < before[".mv-xrays"][1] - 5
    again = page.context.new_page()
    again.goto(tab.server.address)
    again.locator(".mv-3d").wait_for()
    assert sizes(again) == now
    again.close()
    views.focus()
    page.keyboard.press("Enter")
    steps.dblclick()
    assert sizes(page) == before
    for key, hidden in (("1", ".mv-scene"), ("3", ".mv-xrays")):
        page.keyboard.press(key)
        assert sizes(page)[hidden][1] == 0
    page.keyboard.press("2")
    assert sizes(page) == before


def test_a_view_is_seen_alone_by_a_double_click_or_a_key(tab):
    page, before = tab.page, sizes(tab.page)
    page.locator(".mv-3d").dblclick(position={"x": 60, "y": 90})
    alone = sizes(page)
    assert alone[".mv-xrays"][1] == 0 and alone[".mv-3d"] == alone[".mv-scene"] > before[".mv-3d"]
    page.keyboard.press("Escape")
    assert sizes(page) == before
    page.locator(".mvx-surface").nth(1).focus()
    page.keyboard.press("f")
    assert not page.locator(".mvx").nth(0).is_visible() and sizes(page)[".mv-scene"][1] == 0
    page.keyboard.press("f")
    assert sizes(page) == before


def test_slices_have_a_slider_and_follow_brightness_and_keys(tab):
    page, at = tab.page, tab.state("slices_at.Axial")
    assert at["axis"] == "SI" and at["sides"] == ["R", "L", "A", "P"]
    page.get_by_role("slider", name="Axial").focus()
    page.keyboard.press("ArrowUp")
    step = f"Math.abs(s.slices_at.Axial.mm - {at['mm'] + at['step']}) < 0.6 * {at['step']}"
    tab.wait_state(step, 10)
    first = page.locator(".mv-slice").first
    first.hover()
    first.get_by_role("button", name="Brightness and contrast").click()
    page.get_by_role("slider", name="Level").fill("50")
    least = "(s.ct_greys.most - s.ct_greys.least) / 200"
    tab.wait_state(f"Math.abs(s.ct_greys.level - 50) <= {least}", 10)
    page.get_by_role("button", name="Automatic").last.click()
    page.keyboard.press("Escape")  # so that the box is closed for other tests
