"""What is seen of an X-ray in the page, and what mouse and keys do to the CT there, in a real Chromium, against plain projections."""

import asyncio

import numpy as np
import pytest
from scipy import ndimage

pytest.importorskip("trame_slicer", reason='needs slicer-core: pip install -e ".[viewer]"')
pytest.importorskip("playwright", reason="needs Playwright: pip install playwright")

from helpers.phantom_scene import START
from xray_page import MIDDLE, SIZE, XRayPage, projected

from MultiViewRegistrationLib.report.overlays import film_of, live_layer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def opened(chromium):
    page = XRayPage(chromium)
    yield page
    page.close()


@pytest.fixture
def shown(opened):
    """As it was at first; fails where the page has an error."""
    opened(opened.reset())
    yield opened
    assert not [
        error for error in opened.errors if "405" not in error
    ]  # trame asks for what it does not offer


def orange(image):
    return image[..., 0] - image[..., 2] > 60


def grey(line_integrals, low=0.0, high=3.0):
    return 235 * np.clip((line_integrals - low) / (high - low), 0, 1)


def xray_values(shown):
    return shown.session.xray(shown.registration.xrays[0]).line_integrals


def test_the_x_ray_alone_is_in_its_window(shown):
    picture = shown(shown.seen("off"))
    assert np.ptp(picture, axis=2).max() == 0
    difference = np.abs(picture[..., 0] - grey(xray_values(shown)))
    assert difference.max() < 12 and difference.mean() < 1.5  # between pixels


def test_blend_and_flicker_show_x_ray_and_drr(shown):
    alone, drr, half = (shown(shown.seen("blend", opacity=opacity)) for opacity in (0.0, 1.0, 0.5))
    assert np.abs(half - (alone + drr) / 2).max() <= 2
    assert np.abs(drr - alone).max() > 40
    assert np.array_equal(shown(shown.seen("flicker")), drr)
    hidden = shown(shown.colours(flickering=False))
    shown(shown.seen("off"))
    assert np.array_equal(hidden, shown(shown.colours()))


def test_checkerboard_has_tiles_of_both(shown):
    board, alone, drr = (
        shown(shown.seen(mode, opacity=1.0)) for mode in ("checkerboard", "off", "blend")
    )
    row, column = np.indices((SIZE, SIZE)) // (SIZE // 8)
    within = np.indices((SIZE, SIZE)) % (SIZE // 8)
    inner = ((within > 1) & (within < SIZE // 8 - 2)).all(axis=0)
    xray_turn = (row + column) % 2 == 0
    covered = ndimage.binary_erosion(np.abs(drr - alone).max(axis=2) > 0, iterations=3)
    assert covered.mean() > 0.25
    assert np.array_equal(board[inner & xray_turn], alone[inner & xray_turn])
    assert np.abs(board - drr)[inner & ~xray_turn & covered].max() <= 2


def test_outlines_are_those_of_the_server_and_as_wide(shown):
    found, view = orange(shown(shown.seen("edges"))), shown.registration.xrays[0]
    bones = shown.session.anatomy.drr(view.camera, START, bones=True)
    film = film_of(shown.session.xray(view))
    expected = live_layer("edges", film, bones, structure=False)[..., 3] > 127
    assert (ndimage.distance_transform_edt(~found)[expected] <= 2).mean() > 0.85
    assert 0.8 < found.sum() / expected.sum() < 1.25


async def under(shown, x, y):
    """The pixel of the X-ray at a place in the window."""
    box = await shown.surface().bounding_box()
    return await shown.js("(at) => xrays[0].frame.toImage(at)", [x - box["x"], y - box["y"]])


# Window, zoom, pan


def window(shown, number=0):
    display = shown.registration.xrays[number].node.GetDisplayNode()
    return display.GetWindowLevelMin(), display.GetWindowLevelMax()


def test_a_drag_with_ctrl_changes_the_window_and_the_scene_keeps_it(shown):
    async def drag():
        shown.moves = False
        await shown.settled()
        await shown.page.keyboard.down("Control")
        box, (x, y) = await shown.surface().bounding_box(), await shown.place(MIDDLE)
        await shown.pull((x, y), (x + box["width"] / 4, y + box["height"] / 6), steps=5)
        await shown.page.keyboard.up("Control")

    shown(drag())
    width, level = 3 * np.exp(0.5), 1.5 + 3 / 6
    assert window(shown) == pytest.approx((level - width / 2, level + width / 2), abs=1e-3)
    assert window(shown, 1) == (0.0, 3.0)
    assert np.array_equal(shown.pose, START)
    picture = shown(shown.seen("off"))
    assert np.abs(picture[..., 0] - grey(xray_values(shown), *window(shown))).mean() < 1.5


def test_brightness_and_contrast_are_percents_and_the_greys_are_inverted(shown):
    """50 % each is the automatic window.

    75 % contrast a third of its width, 60 % brightness a fifth of that darker greys.
    """

    async def set_them():
        page, pane = shown.page, shown.page.locator(".mvx").first
        await pane.get_by_role("button", name="Brightness and contrast").click()
        await pane.get_by_role("button", name="Automatic").click()
        automatic = await shown.js("() => [...xrays[0].automatic]")
        assert await pane.locator("output").all_inner_texts() == ["50 %", "50 %"]
        for what, value in (("Contrast", "75"), ("Brightness", "60")):
            await pane.get_by_role("slider", name=what).fill(value)
            await asyncio.sleep(0.2)
        await pane.get_by_role("button", name="Bone dark").click()
        await asyncio.sleep(0.2)
        await page.keyboard.press("Escape")
        assert await pane.locator("output").count() == 0
        return automatic

    least, most = shown(set_them())
    level, width = (least + most) / 2 - 0.2 * (most - least), (most - least) / 3
    assert window(shown) == pytest.approx((level - width / 2, level + width / 2), abs=1e-6)
    picture = shown(shown.seen("off"))
    assert np.abs(picture[..., 0] - (235 - grey(xray_values(shown), *window(shown)))).mean() < 1.5


@pytest.mark.parametrize("how, expected", [(300, 1.2**3), (-200, 1.2**-2), ("right", np.exp(0.5))])
def test_a_zoom_keeps_what_is_under_the_mouse(shown, how, expected):
    """By the wheel, in and out, or by a drag with the right button up from there."""

    async def zoom():
        x, y = np.rint(await shown.place((90, 40)))  # a wheel's events come at whole pixels
        pixel = await under(shown, x, y)
        if how == "right":
            box = await shown.surface().bounding_box()
            await shown.pull((x, y), (x + 20, y + box["height"] / 8), "right")
        else:
            await shown.page.mouse.move(x, y)
            await shown.page.mouse.wheel(0, -how)
            await shown.settled()
        return (x, y), await shown.place(pixel), await shown.js("() => xrays[0].frame.zoom")

    before, after, zoom = shown(zoom())
    assert np.allclose(before, after, atol=0.01) and zoom == pytest.approx(expected, rel=1e-3)
    assert np.array_equal(shown.pose, START)


@pytest.mark.parametrize(
    "button, key, moves", [("middle", None, True), ("left", "Shift", True), ("left", None, False)]
)
def test_a_pan_takes_along_what_is_under_the_mouse(shown, button, key, moves):
    """A plain drag pans while Move is off."""

    async def pan():
        shown.moves = moves
        await shown.settled()
        await shown.page.mouse.move(*await shown.place(MIDDLE))
        await shown.page.mouse.wheel(0, -300)
        x, y = await shown.place((70, 50))
        if key:
            await shown.page.keyboard.down(key)
        await shown.pull((x, y), (x + 31, y - 17), button)
        if key:
            await shown.page.keyboard.up(key)
        return (x + 31, y - 17), await shown.place((70, 50))

    expected, found = shown(pan())
    assert np.allclose(expected, found, atol=0.01)
    assert np.array_equal(shown.pose, START)


# Moving the CT


def test_the_ct_moves_only_while_move_is_on(shown):
    async def press_m_and_drag():
        await shown.press("m")
        await shown.drag((50, 70), (62, 61))
        assert await shown.page.locator(".mvx .ring").count() == 0
        await shown.press("ArrowRight", "[", "PageUp", "Control+ArrowUp")
        still = shown.pose.copy(), list(shown.called)
        await shown.press("m")
        await shown.page.locator(".mvx .ring").first.wait_for()
        await shown.press("ArrowRight")
        await shown.press("Escape")
        return *still, shown.moves

    pose, called, moves = shown(press_m_and_drag())
    assert np.array_equal(pose, START) and called == [] and not moves
    assert np.linalg.norm(shown.moved_by) == pytest.approx(0.1, abs=1e-4)


def test_a_drag_moves_the_ct_parallel_to_the_view(shown):
    """By as much as its centre moves by so many pixels, at its depth; in a zoomed view, too."""
    for number, view in enumerate(shown.registration.xrays):
        shown(shown.reset())
        if number == 0:
            shown(shown.press("+", "+", "+", "d", "s"))
        shown(shown.drag((56, 70), (68, 61), number))
        camera, moved, centre = view.camera, shown.moved_by, shown.centre
        there = projected(camera, centre + moved) - projected(camera, centre)
        assert np.allclose(there, (12, -9), atol=1e-3)
        assert abs(moved @ camera.camera_from_world[2, :3]) < 1e-6
        assert np.allclose(shown.rotated_by, 0, atol=1e-6)
        assert shown.called[0] == "begin" and shown.called[-1] == "end" and "moved" in shown.called
        assert shown.called.count("begin") == shown.called.count("end") == 1


@pytest.mark.parametrize(
    "key, shift, rotation",
    [
        ("ArrowRight", (0.1, 0, 0), (0, 0, 0)),
        ("Shift+ArrowUp", (0, -1, 0), (0, 0, 0)),
        ("Shift+PageDown", (0, 0, -1), (0, 0, 0)),
        ("[", (0, 0, 0), (0, 0, -0.1)),  # counter-clockwise in the image
        ("Shift+q", (0, 0, 0), (0, 0, -1)),
        # About the axis that points up in the image.
        ("Control+Shift+ArrowRight", (0, 0, 0), (0, -1, 0)),
        ("Control+ArrowDown", (0, 0, 0), (0.1, 0, 0)),
    ],
)
def test_keys_move_it_by_whole_steps(shown, key, shift, rotation):
    """By mm and degrees, to the right, down, and along the beam."""
    shown(shown.press(key))
    camera = shown.registration.xrays[0].camera
    right, down, _ = camera.camera_from_world[:3, :3]
    axes = np.array([right, down, beam(shown)])
    assert np.allclose(shown.moved_by, shift @ axes, atol=1e-6)
    assert np.allclose(shown.rotated_by, rotation @ axes, atol=1e-4)
    assert shown.called == ["begin", "moved", "end"]


def beam(shown):
    """(3,) from the first source to the CT."""
    away = shown.centre - shown.registration.xrays[0].camera.source
    return away / np.linalg.norm(away)


def test_ring_and_grips_rotate_it(shown):
    """Clockwise in the image is clockwise from the source."""

    async def pull(begin, end):
        ring = await shown.js("() => ({...xrays[0].drawn.ring})")
        box = await shown.surface().bounding_box()
        corner = np.array([box["x"], box["y"]])
        places = [(corner + each(ring)).tolist() for each in (begin, end)]
        await shown.pull(*places, steps=9)

    def on_ring(degrees):
        way = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
        return lambda ring: np.array([ring["x"], ring["y"]]) + ring["radius"] * way

    def beside_grip(shift):
        return lambda ring: np.array([ring["grips"][0][key] for key in "xy"]) + shift

    shown(pull(on_ring(40), on_ring(60)))
    assert np.allclose(shown.rotated_by, 20 * beam(shown), atol=0.02)
    assert np.allclose(shown.moved_by, 0, atol=1e-6)
    shown(shown.reset())
    shown(pull(beside_grip((0, 0)), beside_grip((40, 25))))
    up = -shown.registration.xrays[0].camera.camera_from_world[1, :3]
    assert np.allclose(shown.rotated_by, 10 * up, atol=1e-3)


async def slide_fingers(shown, *steps):
    """Fingers that go down, move and go up, by Chromium's own way from a touch to pointer events.

    steps: the places of all fingers.
    """
    session = await shown.page.context.new_cdp_session(shown.page)
    for number, places in enumerate((*steps, ())):
        kind = "touchEnd" if not places else "touchMove" if number else "touchStart"
        points = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(places)]
        await session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        await asyncio.sleep(0.05)
    await shown.settled()


def test_one_finger_pans_and_two_zoom(shown):
    async def slide():
        x, y = await shown.place((60, 50))
        await slide_fingers(shown, *[[(x + far, y)] for far in (0, 10, 20, 30)])
        return (x + 30, y), await shown.place((60, 50))

    async def pinch():
        x, y = await shown.place((60, 50))
        await slide_fingers(shown, *[[(x - far, y), (x + far, y)] for far in (20, 30, 40)])
        return (x, y), await shown.place((60, 50)), await shown.js("() => xrays[0].frame.zoom")

    shown.moves = False
    shown(shown.press("+"))
    panned, found = shown(slide())
    assert np.allclose(panned, found, atol=0.6) and np.array_equal(shown.pose, START)
    shown(shown.reset())
    before, after, zoom = shown(pinch())
    assert np.allclose(before, after, atol=0.6) and zoom == pytest.approx(2, abs=0.05)
    assert np.array_equal(shown.pose, START)


# Points


def test_a_click_is_a_pixel(shown):
    async def click():
        await shown.page.mouse.click(*await shown.place((40.25, 81.5)))
        await asyncio.sleep(0.4)  # a second click would make it a double one
        await shown.page.mouse.dblclick(*await shown.place((60, 60)))
        await asyncio.sleep(0.4)

    shown(click())
    (called,) = shown.called
    assert called == ("view1", pytest.approx(40.25, abs=0.15), pytest.approx(81.5, abs=0.15))
    assert np.array_equal(shown.pose, START)


def test_cursor_and_epipolar_line_are_drawn_where_the_cameras_say(shown):
    first, second = shown.registration.xrays
    point = np.array([12.0, -7.0, 9.0])  # LPS mm

    async def put(view):
        shown.cursor.points.AddControlPoint(*view.ras_of(projected(view.camera, point)))
        shown.cursor.update()
        await asyncio.sleep(0.2)
        script = "() => xrays.map(x => ({...x.view, drawn: JSON.parse(JSON.stringify(x.drawn))}))"
        return await shown.js(script)

    here, there = shown(put(first))
    assert np.allclose(here["seen"], projected(first.camera, point), atol=2e-3)
    assert here["lines"] == [] and here["point"] is None and there["point"] is None
    assert len(there["drawn"]["lines"]) == 1
    (a, b), at = np.array(there["lines"])[0], projected(second.camera, point)
    assert abs(np.linalg.det([(b - a) / np.linalg.norm(b - a), at - a])) < 2e-3
    here, there = shown(put(second))
    assert np.allclose(there["point"], at, atol=2e-3) and len(there["lines"]) == 1
    x, _ = shown(shown.js("() => xrays[0].frame.toView(xrays[0].view.point)"))
    assert here["drawn"]["point"].startswith(f"M{x + 6}".split(".")[0])


# The rest


def test_what_is_written_and_announced(shown):
    async def look():
        titles = await shown.page.locator(".mvx-title").all_inner_texts()
        await shown.page.mouse.move(*await shown.place(MIDDLE))
        text = await shown.page.locator(".mvx-text").first.inner_text()
        await shown.press("ArrowRight")
        return titles, text, await shown.page.locator(".mvx-spoken").first.inner_text()

    (first, second), text, spoken = shown(look())
    assert first == "view1 \u2013 <b>Phantom</b>"
    assert second == "<img src=x onerror=alert(1)> \u2013 <b>Phantom</b>"
    assert shown(shown.page.locator("img").count()) == 0
    assert "row 6" in text and spoken == "CT 0.1 mm right, 0.0 mm down"
    assert "X-ray view1" in shown(shown.surface().get_attribute("aria-label"))


def test_one_movement_is_on_its_way_and_the_newest_is_sent_next(shown):
    """However slow the network is, movements in between are left out."""
    script = """async () => {
      const { Mover } = await import(document.querySelector('script[src*="xray_view"]').src.replace("xray_view", "mover"));
      const answers = [], arrived = [], counts = [], rest = () => new Promise((done) => setTimeout(done));
      const send = () => new Promise((answer) => answers.push(answer));
      const mover = new Mover(send, (answer, sequence) => arrived.push(sequence));
      for (let n = 0; n < 5; n++) mover.add();
      for (const next of [0, 1]) {
        counts.push(answers.length, mover.moved.held.has(mover));
        answers[next]({});
        await rest();
      }
      return { arrived, counts, left: mover.busy || mover.moved.held.has(mover) };
    }"""
    expected = {"arrived": [1, 5], "counts": [1, True, 2, True], "left": False}
    assert shown(shown.js(script)) == expected
