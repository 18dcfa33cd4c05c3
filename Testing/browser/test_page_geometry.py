"""The table of geometries over the views: typed, faulty, kept C-arms, and clicks that were lost."""

from urllib.parse import unquote

import pytest

pytestmark = pytest.mark.slow

ANGLE = "LAO (+) / RAO (\u2212) of {}"
TILT = "CRA (+) / CAU (\u2212) of {}"
DISTANCE = "Source to detector, mm of {}"
#: Pastes a text where the focus is.
PASTE = """text => { const data = new DataTransfer(); data.setData('text', text);
    document.activeElement.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true })); }"""


def open_table(tab):
    tab.open_step("X-rays")
    tab.page.get_by_role("button", name="view1").first.click()
    tab.button("Geometry...").click()
    tab.page.wait_for_selector(".mv-fields")


def field(tab, label, name):
    return tab.page.get_by_label(label.format(name), exact=True)


def picture(tab):
    """The SVG of the C-arm."""
    return unquote(tab.page.locator(".mv-sheet .mv-picture img").get_attribute("src"))


def test_numbers_are_typed_as_in_a_spreadsheet(tab):
    open_table(tab)
    for name in ("view1", "view2"):
        field(tab, "Given as of {}", name).select_option("C-arm")
        tab.button("Use this geometry").click()
        tab.page.get_by_role("button", name="Use this geometry").wait_for(state="hidden")
    angle, tilt = field(tab, ANGLE, "view1"), field(tab, TILT, "view2")
    angle.click()
    angle.select_text()
    for key in "-35":  # the camera and the picture follow the keys
        tab.page.keyboard.type(key)
    tab.wait_state("c('xrays', 'xrays').lines[0].cells[1].text.startsWith('RAO 35')", 20)
    assert "RAO 35\u00b0" in picture(tab) and focused(angle)
    tab.page.keyboard.press("Enter")
    assert focused(field(tab, ANGLE, "view2"))
    tab.page.keyboard.press("Tab")
    assert focused(tilt)
    distance = field(tab, DISTANCE, "view1")
    distance.fill("1.01")
    distance.press("Tab")
    tab.page.get_by_text("1.01 mm looks like metres; give mm: 1010.", exact=True).wait_for()
    assert distance.get_attribute("aria-invalid") == "true"
    tilt.focus()
    tab.page.evaluate(PASTE, "12\t1000\t650")
    tab.wait_state("c('xrays', 'xrays').lines[1].cells[1].text.endsWith('CRA 12\u00b0')", 20)
    assert field(tab, DISTANCE, "view2").input_value() == "1000"
    tab.button("Put view2 back").click()
    tab.page.get_by_role("button", name="view1").last.click()
    tab.button("Put view1 back").click()
    tab.wait_state("c('xrays', 'xrays').lines[0].cells[1].text === 'matrix'", 20)
    tab.button("Done").click()


def focused(locator):
    return locator.evaluate("e => e === document.activeElement")


def test_the_first_click_on_a_button_counts_while_a_field_has_the_focus(tab):
    """The server's answer to what was typed comes while a hand holds the button."""
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
    tab.page.wait_for_timeout(300)
    mouse.up()
    as_given = "given => document.querySelector('.mv-sheet textarea').value === given"
    tab.page.wait_for_function(as_given, arg=given)
    assert not tab.state("message")
    tab.button("Done").click()


def test_what_a_button_leads_to_has_the_focus_and_accept_closes_the_table(tab):
    open_table(tab)
    tab.page.wait_for_function(
        "() => { const at = document.activeElement, box = at.getBoundingClientRect(); "
        "return at.closest('.mv-sheet') && box.top >= 0 && box.bottom <= innerHeight; }"
    )
    tab.register()
    assert tab.state("answer.kind") == "accept"
    tab.page.wait_for_selector(".mv-sheet", state="detached")
