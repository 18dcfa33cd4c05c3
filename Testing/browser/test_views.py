"""Places where a person could not go on, or saw nothing."""

from __future__ import annotations

#: Whether the CT is seen in each slice.
SEEN = """(where) => { const images = [...document.querySelectorAll(where)];
    return images.length === 3 && images.every(image => {
        const small = new OffscreenCanvas(64, 64).getContext("2d");
        small.drawImage(image, 0, 0, 64, 64);
        const bytes = small.getImageData(0, 0, 64, 64).data;
        let bright = 0;
        for (let n = 0; n < bytes.length; n += 4) bright += Math.max(bytes[n], bytes[n + 1], bytes[n + 2]) > 40;
        return bright > 0.05 * 64 * 64; }); }"""


def test_the_first_click_on_apply_counts_while_a_field_has_the_focus(tab):
    tab.open_step("X-rays")
    tab.page.get_by_role("button", name="view1").first.click()
    field, mouse = tab.page.get_by_label("Projection matrix"), tab.page.mouse
    given = field.input_value()
    for factor, refused in (("2", False), ("3", True), ("1", False)):
        if refused:  # the sentence about it goes when it is mended, and what is below moves up
            field.fill("nothing")
            field.press("Tab")
            tab.wait_state("c('xrays', 'geometry_problem')", 10)
        field.fill(" ".join(f"{float(factor) * float(number):.6g}" for number in given.split()))
        field.focus()
        assert tab.button("Apply").is_disabled()
        box = tab.button("Apply").bounding_box()
        mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        mouse.down()
        tab.page.wait_for_timeout(300)  # as a hand holds it: the server's answer to what was typed comes meanwhile
        mouse.up()
        tab.wait_state("!c('xrays', 'reset').enabled", 10)
    assert not tab.state("message")


def test_the_slices_follow_the_ct_when_a_movement_has_taken_it_out_of_them(tab):
    def wait_for_ct() -> None:
        tab.page.wait_for_function(SEEN, arg=".mv-scene .mv-cell:not(.mv-3d) img")

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
    fits = "() => [...document.querySelectorAll('.mv-scene img')].map(image => getComputedStyle(image).objectFit)"
    for page in (tab, second, tab):
        area = page.page.locator(".mv-3d .mv-fill").first.bounding_box()
        page.page.mouse.move(area["x"] + area["width"] / 3, area["y"] + area["height"] / 3)
        page.page.mouse.move(area["x"] + area["width"] / 2, area["y"] + area["height"] / 2, steps=4)
        page.page.wait_for_function("""() => { const image = document.querySelector('.mv-3d img'), area = image.parentElement;
            return Math.abs(image.naturalWidth - area.clientWidth) < 2 && Math.abs(image.naturalHeight - area.clientHeight) < 2; }""")
        assert set(tab.page.evaluate(fits) + second.page.evaluate(fits)) == {"contain"}
