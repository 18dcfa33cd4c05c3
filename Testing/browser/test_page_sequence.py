"""A sequence in the page: a tracked one is opened, played and stepped through."""

import numpy as np
import pytest
from helpers.moving import COUNT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(serve, study):
    return serve(study / "track")


def shown(tab, number):
    tab.wait_state(
        f"(c('sequence', 'headline') || {{label: ''}}).label.startsWith('Frame {number}')"
    )
    tab.drawn()


def picture(tab):
    """Return the first X-ray as its canvas shows it once it has settled, in 48 x 48 pixels.

    All of its pixels take seconds to arrive.
    """
    before, now = None, canvas(tab)
    while not np.array_equal(before, now):
        tab.page.wait_for_timeout(300)
        before, now = now, canvas(tab)
    return now


def canvas(tab):
    return np.array(
        tab.page.evaluate("""() => { const small = new OffscreenCanvas(48, 48).getContext("2d");
        small.drawImage(document.querySelector(".mvx canvas"), 0, 0, 48, 48); return [...small.getImageData(0, 0, 48, 48).data]; }"""),
        int,
    )


def test_a_tracked_sequence_is_opened_played_and_stepped_through(open_tab, server):
    tab = open_tab(server, width=1280, height=800)
    tab.ready()
    shown(tab, 0)
    first = picture(tab)
    tab.button("One frame on").click()
    shown(tab, 1)
    tab.page.get_by_text("Frame 1: followed").wait_for()
    assert (picture(tab) != first).mean() > 0.2

    tab.button("Play").focus()
    tab.page.keyboard.press("Enter")  # by keys alone
    tab.wait_state("c('sequence', 'play').icon === 'pause'")
    tab.wait_state("c('sequence', 'play').icon === 'play'")
    shown(tab, COUNT - 1)
    tab.button("First frame").click()
    shown(tab, 0)
    assert np.abs(picture(tab) - first).max() <= 2

    tab.page.get_by_role("slider", name="Frame").focus()
    tab.page.keyboard.press("ArrowRight")
    shown(tab, 1)
    assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    column = tab.page.locator(".mv-list")
    assert column.evaluate("e => e.scrollWidth <= e.clientWidth")
