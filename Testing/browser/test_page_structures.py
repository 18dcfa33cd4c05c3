"""A case with bones in the page.

Each is outlined in its colour, seen alone, moved by hand and registered again; the poses of all are
exported.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from bent_spine import NAMES, POSE, write_case

from MultiViewRegistrationLib.geometry import rigid

#: The names of the outlines, and where they are: x and y of the ends of each, from and to, CSS
#: pixels.
OUTLINES = """() => [...document.querySelectorAll('.mvx')].map(view => [...view.querySelectorAll('.bone')].map(one => {
    const box = one.querySelector('path').getBBox();
    return [one.querySelector('text').textContent, box.x, box.y, box.x + box.width, box.y + box.height]; }))"""
#: Where the outline of a bone is in the first X-ray: in its pixels, whatever is seen of it.
OUTLINE = f"""(name) => {{
    const [, x, y, right, bottom] = ({OUTLINES})()[0].find(one => one[0] === name), {{ frame }} = document.querySelector('.mvx').xray;
    return [...frame.toImage([x, y]), ...frame.toImage([right, bottom])]; }}"""
#: Pixels of the first X-ray that are seen across, and down.
SEEN = """() => { const { frame } = document.querySelector('.mvx').xray, [left, top] = frame.toImage([0, 0]);
    const [right, bottom] = frame.toImage(frame.view); return [right - left, bottom - top]; }"""


@pytest.fixture(scope="module")
def spine(tmp_path_factory) -> tuple[Path, list[np.ndarray]]:
    """(folder, motions of the vertebrae)"""
    folder = tmp_path_factory.mktemp("spine")
    return folder, write_case(folder)


@pytest.fixture(scope="module")
def server(serve, spine):
    return serve(spine[0])


def all_outlined(page) -> None:
    page.wait_for_function("() => document.querySelectorAll('.bone').length === 8")


def test_each_bone_is_outlined_and_told_and_exported(tab, spine, tmp_path):
    headline = tab.state("answer.headline")
    assert tab.state("answer.kind") == "check" and headline.startswith("L3 lies ")
    assert "worst bone " in headline
    all_outlined(tab.page)
    for outlines in tab.page.evaluate(OUTLINES):
        assert [name for name, *_ in outlines] == list(NAMES)
        tops = [top for _name, _left, top, *_ in outlines]
        assert tops == sorted(tops)  # from the head down
    tab.page.locator(".mv-answer summary").click()
    tab.page.get_by_text("T12 on L1: ").wait_for()
    tab.shot("why")
    tab.page.locator(".mv-answer summary").click()
    tab.open_step("CT")
    box = tab.page.get_by_role("checkbox", name="L3", exact=True).first
    assert box.is_checked()
    tab.shot("ct")
    tab.page.locator(".mv-answer").get_by_role("button", name="Show edges", exact=True).click()
    tab.page.get_by_text("Outlines: each bone where the X-rays show it").wait_for()
    tab.shot("check")
    archive = tab.download("Export", tmp_path, ".mv-answer")
    zipfile.ZipFile(archive).extractall(tmp_path)
    for name, motion in zip(NAMES, spine[1], strict=True):
        found = sitk.ReadTransform(str(tmp_path / archive.stem / f"{name}_world_from_ct.tfm"))
        truth = rigid.transform_points(POSE @ motion, np.zeros(3))
        assert found.TransformPoint((0.0, 0.0, 0.0)) == pytest.approx(truth, abs=1.0)


def test_a_bone_is_seen_in_all_views_moved_and_registered_again(tab):
    all_outlined(tab.page)
    tab.page.locator(".mv-answer").get_by_role("button", name="Show edges", exact=True).click()
    tab.page.get_by_role("button", name="L2", exact=True).click()
    tab.page.wait_for_function("() => document.querySelectorAll('.bone.chosen').length === 2")
    left, top, right, bottom = tab.page.evaluate(OUTLINE, "L2")
    across, down = tab.page.evaluate(SEEN)
    assert right - left > 0.3 * across or bottom - top > 0.3 * down
    tab.page.wait_for_timeout(1500)
    tab.shot("one_bone")
    tab.button("Move the CT").click()
    tab.page.locator(".mvx .ring").first.wait_for()
    tab.drag(0, (0.5, 0.5), (0.6, 0.5))  # of the outlined bone, its row is chosen
    tab.wait_state("s.answer.kind === 'moved'")
    tab.page.wait_for_function(
        f"([name, least]) => ({OUTLINE})(name)[0] > least", arg=["L2", left + 0.08 * across]
    )
    moved = tab.page.evaluate(OUTLINE, "L2")
    assert moved[0] - left == pytest.approx(0.1 * across, abs=0.02 * across)
    others = tab.page.evaluate(OUTLINE, "L1")
    tab.page.get_by_text("not registered", exact=True).wait_for()
    tab.shot("moved")
    tab.page.get_by_role("button", name="Each by itself", exact=True).click()
    tab.wait_state("s.answer.kind === 'check'")
    assert tab.page.evaluate(OUTLINE, "L1") == pytest.approx(others, abs=1.5)
    back = tab.page.evaluate(OUTLINE, "L2")
    assert back == pytest.approx([left, top, right, bottom], abs=1.5)
    tab.shot("again")
    for _ in range(2):
        tab.page.locator(".mv-answer").get_by_role("button", name="Undo", exact=True).click()
        tab.page.wait_for_timeout(300)
    tab.page.get_by_role("button", name="L2", exact=True).click()
    tab.page.wait_for_function("() => !document.querySelector('.bone.chosen')")
    tab.page.get_by_role("button", name="As one body", exact=True).click()
    tab.page.wait_for_function("() => !document.querySelector('.bone')")
    tab.page.locator(".mv-answer").get_by_role("button", name="Undo", exact=True).click()
    all_outlined(tab.page)


def test_outlines_are_no_part_of_the_x_ray_alone(tab):
    all_outlined(tab.page)
    tab.page.get_by_role("button", name="Overlay: X-ray").click()
    tab.page.wait_for_function("() => !document.querySelector('.bone')")
    tab.page.get_by_role("button", name="Overlay: Edges").click()
    all_outlined(tab.page)
    tab.drawn()
    tab.shot("edges")
