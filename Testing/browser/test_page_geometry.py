"""The table of geometries over the views: fields that are left, errors, kinds, and clicks that were lost."""

import pytest

pytestmark = pytest.mark.slow

KIND = "Given as of {}"
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


def wait_described(tab, number, words):
    """Until the table of X-rays has these words about the geometry of one, counted from 0."""
    tab.wait_state(f"c('xrays', 'xrays').lines[{number}].cells[1].text.includes('{words}')", 20)


def test_fields_are_applied_when_they_are_left(tab):
    open_table(tab)
    for name in ("view1", "view2"):
        field(tab, KIND, name).select_option("C-arm")
        tab.button("Use this geometry").click()
        tab.page.get_by_role("button", name="Use this geometry").wait_for(state="hidden")
    angle, distance = field(tab, ANGLE, "view1"), field(tab, DISTANCE, "view1")
    angle.click()
    angle.select_text()
    tab.page.keyboard.type("-35")
    wait_described(tab, 0, "LAO 0")
    tab.page.keyboard.press("Enter")
    wait_described(tab, 0, "RAO 35")
    assert focused(field(tab, ANGLE, "view2"))
    distance.fill("1.01")
    distance.press("Tab")
    sentence = "Source to detector: 1.01 mm looks like metres. Enter 1010."
    note = tab.page.locator(".mv-fields-note td", has_text=sentence)
    note.wait_for()
    assert distance.get_attribute("aria-invalid") == "true" and distance.input_value() == "1.01"
    assert distance.get_attribute("aria-describedby") == note.get_attribute("id")
    wait_described(tab, 0, "not as typed")
    tab.shot("an error at its field")
    field(tab, KIND, "view1").select_option("Matrix")
    tab.page.get_by_label("Projection matrix").wait_for()
    wait_described(tab, 0, "RAO 35")
    field(tab, KIND, "view1").select_option("C-arm")
    distance.wait_for()
    assert distance.input_value() == "1000"  # nothing of before is remembered
    field(tab, TILT, "view2").focus()
    tab.page.evaluate(PASTE, "12\t1000\t650")
    wait_described(tab, 1, "CRA 12")
    for number, name in enumerate(("view1", "view2")):
        field(tab, KIND, name).focus()
        tab.page.get_by_role("button", name=f"Put {name} back", exact=True).click()
        wait_described(tab, number, "matrix")
    tab.page.locator(".mvx-surface").first.click()
    tab.page.keyboard.press("Escape")
    tab.page.wait_for_selector(".mv-sheet", state="detached")


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
