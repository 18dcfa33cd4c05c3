"""The table of geometries over the views: typed, faulty, kept C-arms, and clicks that were lost."""

from __future__ import annotations

import re
from urllib.parse import unquote

ANGLE, DISTANCE = "LAO (+) / RAO (\u2212) of {}", "Source to detector, mm of {}"


def open_table(tab):
    tab.open_step("X-rays")
    tab.page.get_by_role("button", name="view1").first.click()
    tab.button("Geometry...").click()
    tab.page.wait_for_selector(".mv-fields")


def field(tab, label: str, name: str):
    return tab.page.get_by_label(label.format(name), exact=True)


def geometry(tab, number: int) -> str:
    """What the section X-rays says of one's geometry."""
    return tab.evaluate(f"c('xrays', 'xrays').lines[{number}].cells[1].text")


def picture(tab) -> str:
    """The SVG of the C-arm."""
    return unquote(tab.page.locator(".mv-sheet .mv-picture img").get_attribute("src"))


def test_numbers_are_typed_as_in_a_spreadsheet(tab):
    open_table(tab)
    for name in ("view1", "view2"):
        field(tab, "Given as of {}", name).select_option("C-arm")
        tab.button("Use this geometry").click()
        tab.page.get_by_role("button", name="Use this geometry").wait_for(state="hidden")
    before = geometry(tab, 0)
    assert re.fullmatch(r"(LAO|RAO) [\d.]+\u00b0, (CRA|CAU) [\d.]+\u00b0", before)
    angle = field(tab, ANGLE, "view1")
    angle.click()
    angle.select_text()
    for key in "-35":  # the camera and the picture follow the keys
        tab.page.keyboard.type(key)
    tab.wait_state("c('xrays', 'xrays').lines[0].cells[1].text.startsWith('RAO 35')", 20)
    assert "RAO 35\u00b0" in picture(tab) and angle.evaluate("e => e === document.activeElement")
    tab.page.keyboard.press("Enter")
    below = field(tab, ANGLE, "view2")
    assert below.evaluate("e => e === document.activeElement")
    tab.page.keyboard.press("Tab")
    assert field(tab, "CRA (+) / CAU (\u2212) of {}", "view2").evaluate(
        "e => e === document.activeElement"
    )
    distance = field(tab, DISTANCE, "view1")
    distance.fill("1.01")
    distance.press("Tab")
    note = tab.page.get_by_text("1.01 mm looks like metres; give mm: 1010.", exact=True)
    note.wait_for()
    assert distance.get_attribute("aria-invalid") == "true"
    assert distance.get_attribute("aria-describedby") == note.get_attribute("id")
    left, width = (note.bounding_box()[key] for key in ("x", "width"))
    assert (
        abs(left - distance.bounding_box()["x"]) < 8
        and width > 2 * distance.bounding_box()["width"]
    )
    tab.shot("a fault at its field")
    field(tab, "CRA (+) / CAU (\u2212) of {}", "view2").focus()
    tab.page.evaluate(
        "text => { const data = new DataTransfer(); data.setData('text', text); "
        "document.activeElement.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true })); }",
        "12\t1000\t650",
    )
    tab.wait_state("c('xrays', 'xrays').lines[1].cells[1].text.endsWith('CRA 12\u00b0')", 20)
    tab.page.wait_for_function("() => document.querySelectorAll('.mv-fields .fault').length === 1")
    assert field(tab, DISTANCE, "view2").input_value() == "1000"
    tab.button("Put view2 back").click()
    tab.wait_state("c('xrays', 'xrays').lines[1].cells[1].text === 'matrix'", 20)
    tab.page.get_by_role("button", name="view1").last.click()
    tab.button("Put view1 back").click()
    tab.wait_state("c('xrays', 'xrays').lines[0].cells[1].text === 'matrix'", 20)
    tab.page.locator(".mvx-surface").first.click()
    tab.page.keyboard.press("Escape")
    tab.page.wait_for_selector(".mv-sheet", state="detached")


def test_the_first_click_on_a_button_counts_while_a_field_has_the_focus(tab):
    open_table(tab)
    matrix, mouse, back = (
        tab.page.get_by_label("Projection matrix"),
        tab.page.mouse,
        tab.button("Put view1 back"),
    )
    given = matrix.input_value()
    matrix.fill("nothing of use")
    assert back.is_disabled()
    box = back.bounding_box()
    mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    mouse.down()
    tab.page.wait_for_timeout(
        300
    )  # as a hand holds it: the server's answer to what was typed comes meanwhile
    mouse.up()
    tab.page.wait_for_function(
        "given => document.querySelector('.mv-sheet textarea').value === given", arg=given
    )
    assert not tab.state("message")
    tab.button("Done").click()


def test_a_refused_number_keeps_register_from_beginning(tab):
    tab.open_step("Start")
    tab.open_group("More")
    tab.page.get_by_label("Search").first.click()
    tab.choose("How far", "As usual (15\u00b0, 45 mm)")
    rotation = tab.page.get_by_label("Rotation", exact=True)
    rotation.fill("500")
    rotation.press("Tab")
    problem = "Rotation: 500 is outside 1 to 180\u00b0; correct it."
    tab.page.locator(".v-messages").get_by_text(problem).wait_for()
    entries = len(tab.history())
    tab.open_step("Register")
    tab.page.locator(".mv-steps").get_by_role("button", name="Register", exact=True).click()
    tab.wait_state(f"s.message === {problem!r}", 20)
    assert len(tab.history()) == entries and rotation.input_value() == "500"
    tab.shot("a refused number")
    rotation.fill("15")
    rotation.press("Tab")
    tab.page.locator(".v-messages").get_by_text(problem).wait_for(state="detached")
    tab.register()


def test_what_a_button_leads_to_has_the_focus_and_accept_closes_the_table(tab):
    open_table(tab)
    tab.page.wait_for_function(
        "() => { const at = document.activeElement, box = at.getBoundingClientRect(); "
        "return at.closest('.mv-sheet') && box.top >= 0 && box.bottom <= innerHeight; }"
    )
    tab.register()
    assert tab.state("answer.kind") == "accept"
    tab.page.wait_for_selector(".mv-sheet", state="detached")


def test_at_150_percent_the_steps_leave_the_answer_in_sight(open_tab, server):
    tab = open_tab(server, width=911, height=512)
    tab.page.keyboard.press("b")
    tab.page.locator(".mv-steps").wait_for()
    chip = tab.page.locator(".mv-chip")
    assert chip.evaluate(
        "e => { const { left, top } = e.getBoundingClientRect(); "
        "return e.contains(document.elementFromPoint(left + 9, top + 9)); }"
    )
    tab.shot("steps beside the answer")
