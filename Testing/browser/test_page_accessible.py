"""What axe-core says of the page: contrasts of WCAG AA, names, roles, landmarks.

In the light and in the dark, and by keys alone.
"""

import subprocess
import tarfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

AXE = Path(__file__).resolve().parents[2] / "build" / "axe"


@pytest.fixture(scope="module")
def axe(require_program):
    """The text of axe.min.js, from the npm registry; kept in build/axe."""
    if not list(AXE.glob("axe-core-4.*.tgz")):
        AXE.mkdir(parents=True, exist_ok=True)
        command = [require_program("npm", package="npm"), "pack", "--silent", "axe-core@4"]
        fetched = subprocess.run(command, cwd=AXE, capture_output=True, text=True, timeout=120)
        if fetched.returncode:
            pytest.skip(f"needs axe-core from the npm registry: {fetched.stderr.strip()[-200:]}")
    with tarfile.open(next(AXE.glob("axe-core-4.*.tgz"))) as archive:
        return archive.extractfile("package/axe.min.js").read().decode()


def problems(tab, axe):
    """What is wrong with the page as it is, a line for each element."""
    page = tab.page
    page.wait_for_timeout(500)  # colours that change
    if not page.evaluate("() => Boolean(window.axe)"):
        page.evaluate(axe)
    found = page.evaluate(
        "() => axe.run(document, { resultTypes: ['violations'] }).then(found => found.violations)"
    )
    empty = page.evaluate(
        "() => [...document.querySelectorAll('.mdi')].filter(icon => "
        "getComputedStyle(icon, '::before').content === 'none').map(icon => icon.className)"
    )
    return [f"no such icon: {each}" for each in empty] + [
        f"{each['id']}: {node['target'][0]} {node['html'][:120]} "
        f"{node['failureSummary'].splitlines()[1].strip()}"
        for each in found
        for node in each["nodes"]
    ]


def in_both_themes(tab, axe, name):
    found = []
    for theme in ("light", "dark"):
        tab.page.emulate_media(color_scheme=theme)
        tab.page.wait_for_timeout(200)
        found += [f"{name}, {theme}: {problem}" for problem in problems(tab, axe)]
        tab.shot(f"{name}-{theme}")
    return found


STEPS = ("1. CT", "2. X-rays", "3. Start", "4. Register", "5. Check", "6. Export", "7. Sequence")


def test_axe_finds_nothing(open_tab, serve, server, axe):
    empty = open_tab(serve())
    found = in_both_themes(empty, axe, "empty")
    tab = open_tab(server)
    tab.ready()
    tab.page.locator(".mv-3d img").wait_for()
    found += in_both_themes(tab, axe, "open")
    tab.register()
    found += in_both_themes(tab, axe, "answer")
    for step in STEPS:
        tab.open_step(step)
    tab.page.evaluate(
        "() => document.querySelectorAll('.mv-steps details').forEach(each => "
        "{ each.open = true; })"
    )
    found += in_both_themes(tab, axe, "unfolded")
    tab.button("Geometry...").click()
    tab.page.get_by_label("Given as of view1", exact=True).select_option("C-arm")
    distance = tab.page.get_by_label("Source to detector, mm of view1", exact=True)
    distance.fill("1.01")
    distance.press("Enter")
    tab.page.get_by_role("alert").get_by_text("looks like metres").wait_for()
    tab.page.evaluate(
        "() => document.querySelectorAll('.mv-sheet details').forEach(each => "
        "{ each.open = true; })"
    )
    found += in_both_themes(tab, axe, "geometry")
    assert not found, "\n".join(found)


#: What a person can do something with, each with an id of its own; of radio buttons the one that
#: Tab goes to.
CONTROLS = """() => [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex]')].filter(each =>
    each.tabIndex >= 0 && !each.disabled && each.checkVisibility({ visibilityProperty: true })
    && !(each.type === 'radio' && !each.checked) && each.getClientRects().length)
    .map((each, n) => each.dataset.walked = String(n))"""
#: The id of what has the focus, and whether that is seen: by a ring of its own, or by what Vuetify
#: and the file buttons draw about it.
FOCUS = """() => { const at = document.activeElement, style = getComputedStyle(at), around = at.closest('.v-input, .mv-pick, .mvx-surface');
    return [at.dataset.walked || null, Boolean(around) || (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2)]; }"""


def test_all_can_be_reached_by_keys_and_the_focus_is_seen(open_tab, serve, case_file):
    """On a server of its own: in the geometry table of another test the focus chooses an X-ray, which changes what can be pressed."""
    tab = open_tab(serve(case_file))
    tab.ready()
    page = tab.page
    page.locator(".mv-3d img").wait_for()
    for step in STEPS:
        tab.open_step(step)
    tab.open_group("More")
    page.wait_for_timeout(500)
    page.evaluate(CONTROLS)
    page.evaluate("() => document.activeElement.blur()")
    reached, unseen = set(), set()
    for _ in range(300):
        page.keyboard.press("Tab")
        at, seen = page.evaluate(FOCUS)
        reached.add(at)
        if not seen:
            unseen.add(at)

    def written(ids):
        found = '(id) => document.querySelector(`[data-walked="${id}"]`).outerHTML.slice(0, 160)'
        return [page.evaluate(found, each) for each in ids if each is not None]

    controls = set(
        page.evaluate(CONTROLS.replace("each.dataset.walked = String(n)", "each.dataset.walked"))
    ) - {None}
    assert len(controls) > 80 and not written(controls - reached)
    assert not written(unseen)
