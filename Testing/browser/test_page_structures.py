"""A case with bones in the page.

Each is outlined in its colour, seen alone, moved by hand and registered again; the poses of all are
exported.
"""

import pytest
from helpers.bent_spine import NAMES, write_case

pytestmark = pytest.mark.slow

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
def spine(tmp_path_factory):
    """(folder, motions of the vertebrae)"""
    folder = tmp_path_factory.mktemp("spine")
    return folder, write_case(folder)


@pytest.fixture(scope="module")
def server(serve, spine):
    return serve(spine[0])


def all_outlined(page):
    page.wait_for_function("() => document.querySelectorAll('.bone').length === 8")


def test_each_bone_is_outlined_and_told(tab):
    headline = tab.state("answer.headline")
    assert tab.state("answer.kind") == "accept" and "own pose; L3 lies " in headline
    all_outlined(tab.page)
    for outlines in tab.page.evaluate(OUTLINES):
        assert [name for name, *_ in outlines] == list(NAMES)
        tops = [top for _name, _left, top, *_ in outlines]
        assert tops == sorted(tops)  # from the head down
    tab.page.locator(".mv-answer summary").click()
    tab.page.get_by_text("T12 on L1: ").wait_for()
    tab.shot("why")
    tab.page.locator(".mv-answer summary").click()


def test_a_bone_is_seen_in_all_views_and_moved_by_the_mouse(tab):
    all_outlined(tab.page)
    tab.open_step("5. Check")
    tab.page.get_by_role("button", name="L2", exact=True).click()
    tab.page.wait_for_function("() => document.querySelectorAll('.bone.chosen').length === 2")
    left, top, right, bottom = tab.page.evaluate(OUTLINE, "L2")
    across, down = tab.page.evaluate(SEEN)
    assert right - left > 0.3 * across or bottom - top > 0.3 * down
    tab.page.wait_for_timeout(1500)
    tab.shot("one_bone")
    others = tab.page.evaluate(OUTLINE, "L1")
    tab.button("Move this bone").click()
    tab.page.locator(".mvx .ring").first.wait_for()
    tab.drag(0, (0.5, 0.5), (0.6, 0.5))  # of the outlined bone, its row is chosen
    tab.wait_state("s.answer.kind === 'moved'")
    further = f"([name, least]) => ({OUTLINE})(name)[0] > least"
    tab.page.wait_for_function(further, arg=["L2", left + 0.08 * across])
    moved, *_ = tab.page.evaluate(OUTLINE, "L2")
    assert moved - left == pytest.approx(0.1 * across, abs=0.02 * across)
    assert tab.page.evaluate(OUTLINE, "L1") == pytest.approx(others, abs=1.5)
    tab.shot("moved")
    tab.page.locator(".mv-answer").get_by_role("button", name="Undo", exact=True).click()
    tab.page.get_by_role("button", name="L2", exact=True).click()
    tab.page.wait_for_function("() => !document.querySelector('.bone.chosen')")
