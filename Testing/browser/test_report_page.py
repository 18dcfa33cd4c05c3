"""report.html in a browser, opened as a file.

All that matters is on one screen, all on paper, and X-rays that can be zoomed into.
"""

import pytest

from MultiViewRegistrationLib import Case, register, save_result

pytestmark = pytest.mark.slow

SCALE = "document.querySelector('.layers').getBoundingClientRect().width / document.querySelector('.stage').clientWidth"


@pytest.fixture(scope="module")
def report(case_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    save_result(register(Case.load(case_file)), folder)
    return folder / "report.html"


@pytest.fixture
def shown(browser, report):
    """A function: the report in a window of this size.

    Fails at the end where the page had an error.
    """
    contexts, errors = [], []

    def open_page(width, height, scheme="dark"):
        contexts.append(
            browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        )
        page = contexts[-1].new_page()
        page.on("console", lambda message: errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(report.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not errors


@pytest.mark.parametrize("width", [320, 390, 1000])
def test_nothing_is_wider_than_the_window(shown, width):
    page = shown(width, 800)
    for each in page.locator("details > summary").all():
        each.click()
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_an_x_ray_is_zoomed_by_click_wheel_and_keys(shown):
    page = shown(1440, 900)
    stage = page.locator(".stage >> nth=0")
    stage.hover()
    page.mouse.wheel(0, -300)
    assert page.evaluate(SCALE) == pytest.approx(1)  # the page's own, until the X-ray is chosen
    page.evaluate("scrollTo(0, 0)")
    stage.click(position={"x": 100, "y": 120})
    assert page.evaluate(SCALE) == pytest.approx(2.5, rel=0.01)
    page.mouse.wheel(0, -300)
    assert page.evaluate(SCALE) > 3
    page.keyboard.press("0")
    assert page.evaluate(SCALE) == pytest.approx(1)
    page.keyboard.press("+")
    assert page.evaluate(SCALE) == pytest.approx(1.25, rel=0.01)


def test_the_outlines_are_those_of_the_result_of_the_start_or_none(shown):
    page = shown(1440, 900)
    result, start = page.locator("img.result >> nth=0"), page.locator("img.start >> nth=0")
    assert result.is_visible() and not start.is_visible()
    page.locator(".choice", has_text="Start").click()
    assert start.is_visible() and not result.is_visible()
    page.keyboard.press("ArrowRight")
    assert not start.is_visible() and not result.is_visible()


def test_the_printed_report_is_light_unfolded_and_without_controls(shown):
    page = shown(1440, 900, "dark")
    page.emulate_media(media="print", color_scheme="dark")
    styles = "getComputedStyle(document.body)"
    assert page.evaluate(f"{styles}.backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate(f"{styles}.color") == "rgb(0, 0, 0)"
    assert not any(each.is_visible() for each in page.locator(".choices, nav, .screen").all())
    folded = page.locator("details:not([open])").all()
    assert len(folded) > 3
    for each in folded:
        content = each.locator("> :not(summary)").first
        assert content.bounding_box()["height"] > 10
        assert content.evaluate("e => e.checkVisibility({contentVisibilityAuto: true})")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out_from_what_is_behind_it(shown, scheme):
    """WCAG AA: 4.5 to 1."""
    page = shown(1440, 900, scheme)
    for each in page.locator("details > summary").all():
        each.click()
    worst = page.evaluate(
        """() => {
          const light = text => {
            const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
              .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const behind = e => { for (; e; e = e.parentElement) {
            const colour = getComputedStyle(e).backgroundColor;
            if (!colour.endsWith(", 0)")) return colour;
          } return "rgb(255, 255, 255)"; };
          const found = [];
          for (const e of document.querySelectorAll("body *:not(svg *):not(script)")) {
            if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
            const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
            found.push([(a + 0.05) / (b + 0.05), e.textContent.slice(0, 40)]);
          }
          return found.sort((x, y) => x[0] - y[0])[0];
        }"""
    )
    assert worst[0] >= 4.5, worst
