"""The X-ray in the page, in a real Chromium: what mouse and keys do to the CT, and what is seen.

Page, server and scene share one event loop, so that a test can look at all of them. Geometry is held against plain projection matrices.
"""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

pytest.importorskip("trame_slicer", reason="needs slicer-core: pip install -e .[viewer]")
pytest.importorskip("playwright", reason="needs Playwright: pip install playwright")

from phantom_scene import START, phantom_registration
from xray_page import xray_page

SIZE = 128
MIDDLE = (63.5, 63.5)


class World:
    """The page in its event loop."""

    def __init__(self, chromium: str) -> None:
        import slicer
        from trame_slicer.core import SlicerApp

        from MultiViewRegistrationLib.scene import display
        from MultiViewRegistrationLib.scene.cursor import LinkedCursor
        from MultiViewRegistrationLib.scene.session import Session

        slicer.mrmlScene = SlicerApp().scene
        session = Session(phantom_registration(slicer.mrmlScene, "<b>Phantom</b>"))
        session.registration.xrays[1].node.SetName("<img src=x onerror=alert(1)>")
        display.show(session.registration)
        while not session.prepare():
            session.poll()
        self.cursor = LinkedCursor(session.registration)
        self.loop = asyncio.new_event_loop()
        self._context = xray_page(session, chromium, cursor=self.cursor)
        self.shown = self.loop.run_until_complete(self._context.__aenter__())

    def __call__(self, coroutine):
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, 60))

    def close(self) -> None:
        self.loop.run_until_complete(self._context.__aexit__(None, None, None))
        self.loop.close()

    async def reset(self) -> None:
        shown = self.shown
        shown.registration.world_from_ct = START
        shown.registration.node.SetParameter("overlay", "blend")
        shown.registration.node.SetParameter("opacity", "0.5")
        shown.may_move, shown.called[:] = True, []
        self.cursor.clear()
        for view in shown.registration.xrays:
            view.node.GetDisplayNode().SetWindowLevelMinMax(0.0, 3.0)
            view.node.GetDisplayNode().SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
        await shown.js("() => xrays.forEach((x) => { x.fit(); x.open = ''; x.handles = true; })")
        await shown.settled()


@pytest.fixture(scope="module")
def world(require_program):
    world = World(require_program("chromium", "google-chrome", package="chromium"))
    yield world
    world.close()


@pytest.fixture
def shown(world):
    world(world.reset())
    yield world.shown
    assert not [error for error in world.shown.errors if "405" not in error]  # trame asks for what it does not offer


def pose(shown) -> np.ndarray:
    return shown.registration.world_from_ct


def moved(shown) -> np.ndarray:
    """How the CT's centre moved since the start, mm."""
    from MultiViewRegistrationLib.scene import by_hand

    centre = np.append(by_hand.centre_in_ct(shown.registration), 1)
    return (pose(shown) @ centre - START @ centre)[:3]


def rotated(shown) -> np.ndarray:
    """By what rotation vector, degrees."""
    return np.degrees(Rotation.from_matrix(pose(shown)[:3, :3] @ START[:3, :3].T).as_rotvec())


def projected(camera, point) -> np.ndarray:
    u, v, w = camera.projection_matrix @ np.append(point, 1)
    return np.array([u / w, v / w])


def centre(shown) -> np.ndarray:
    from MultiViewRegistrationLib.scene import by_hand

    return (START @ np.append(by_hand.centre_in_ct(shown.registration), 1))[:3]


async def drag(shown, begin, end, number: int = 0, button: str = "left", steps: int = 7) -> None:
    """From one pixel of an X-ray to another, as it lies at the beginning."""
    begin, end = await shown.place(begin, number), await shown.place(end, number)
    mouse = shown.page.mouse
    await mouse.move(*begin)
    await mouse.down(button=button)
    await mouse.move(*end, steps=steps)
    await mouse.up(button=button)
    await shown.settled()


async def press(shown, *keys, number: int = 0) -> None:
    await shown.surface(number).focus()
    for key in keys:
        await shown.page.keyboard.press(key)
    await shown.settled()


def test_a_drag_moves_the_ct_parallel_to_the_view(world, shown):
    """By as much as its centre moves by so many pixels, at its depth."""
    for number, view in enumerate(shown.registration.xrays):
        world(world.reset())
        world(drag(shown, (50, 70), (62, 61), number))
        camera = view.camera
        beam = camera.camera_from_world[2, :3]
        assert abs(moved(shown) @ beam) < 1e-6
        assert np.allclose(rotated(shown), 0, atol=1e-6)
        before, after = projected(camera, centre(shown)), projected(camera, centre(shown) + moved(shown))
        assert np.allclose(after - before, (12, -9), atol=1e-3)
        depth, pixel_mm, sdd = beam @ centre(shown) + camera.camera_from_world[2, 3], 160 / SIZE, 1000
        assert np.linalg.norm(moved(shown)) == pytest.approx(15 * pixel_mm * depth / sdd, rel=1e-4)
        assert [name for name, *_ in shown.called].count("begin") == 1
        assert shown.called[0] == ("begin",)
        assert ("moved",) in shown.called
        assert shown.called.count(("end",)) == 1


def test_the_mouse_moves_nothing_while_the_ct_must_stay(world, shown):
    async def stay():
        shown.may_move = False
        await asyncio.sleep(0.2)
        await drag(shown, (50, 70), (62, 61))
        await press(shown, "ArrowUp")

    world(stay())
    assert np.array_equal(pose(shown), START)
    assert shown.called == []


def test_the_wheel_with_shift_moves_it_along_the_beam(world, shown):
    async def turn():
        await shown.page.mouse.move(*await shown.place(MIDDLE))
        await shown.page.keyboard.down("Shift")
        await shown.page.mouse.wheel(0, -300)
        await shown.page.keyboard.up("Shift")
        await shown.settled()

    world(turn())
    camera = shown.registration.xrays[0].camera
    away = centre(shown) - camera.source
    assert np.allclose(moved(shown), 3 * away / np.linalg.norm(away), atol=1e-6)
    assert np.allclose(projected(camera, centre(shown) + moved(shown)), projected(camera, centre(shown)), atol=1e-6)


KEYS = [
    (["ArrowRight"], "right", 0.1), (["Shift+ArrowRight"], "right", 1.0), (["Shift+ArrowUp"], "up", 1.0),
    (["PageUp"], "away", 0.1), (["Shift+PageDown"], "away", -1.0),
]


@pytest.mark.parametrize("keys, direction, mm", KEYS)
def test_keys_move_by_whole_steps(world, shown, keys, direction, mm):
    world(press(shown, *keys))
    camera = shown.registration.xrays[0].camera
    right, down, _ = camera.camera_from_world[:3, :3]
    away = (centre(shown) - camera.source) / np.linalg.norm(centre(shown) - camera.source)
    assert np.allclose(moved(shown), mm * {"right": right, "up": -down, "away": away}[direction], atol=1e-6)
    assert shown.called == [("begin",), ("moved",), ("end",)]


@pytest.mark.parametrize("key, degrees", [("[", 0.1), ("Shift+q", 1.0), ("]", -0.1)])
def test_keys_turn_counter_clockwise_in_the_image(world, shown, key, degrees):
    world(press(shown, key))
    camera = shown.registration.xrays[0].camera
    beam = (centre(shown) - camera.source) / np.linalg.norm(centre(shown) - camera.source)
    assert np.allclose(rotated(shown), -degrees * beam, atol=1e-6)
    assert np.allclose(moved(shown), 0, atol=1e-6)


@pytest.mark.parametrize("key, expected", [("Control+Shift+ArrowRight", (0, -1)), ("Control+ArrowDown", (0.1, 0))])
def test_keys_tilt(world, shown, key, expected):
    """Rolled to the right it turns about the axis that points up in the image."""
    world(press(shown, key))
    right, down, _ = shown.registration.xrays[0].camera.camera_from_world[:3, :3]
    assert np.allclose(rotated(shown), expected[0] * right + expected[1] * down, atol=1e-4)


def test_the_ring_turns_it_about_the_beam(world, shown):
    async def turn():
        ring = await shown.js("() => ({...xrays[0].drawn.ring})")
        box = await shown.surface().bounding_box()
        places = [(box["x"] + ring["x"] + ring["radius"] * np.cos(angle), box["y"] + ring["y"] + ring["radius"] * np.sin(angle))
                  for angle in np.radians([40, 60])]
        await shown.page.mouse.move(*places[0])
        await shown.page.mouse.down()
        await shown.page.mouse.move(*places[1], steps=9)
        await shown.page.mouse.up()
        await shown.settled()

    world(turn())
    camera = shown.registration.xrays[0].camera
    beam = (centre(shown) - camera.source) / np.linalg.norm(centre(shown) - camera.source)
    assert np.allclose(rotated(shown), 20 * beam, atol=0.02)  # clockwise in the image is clockwise as the source sees it
    assert np.allclose(moved(shown), 0, atol=1e-6)


def test_the_grips_tilt_it_about_one_axis(world, shown):
    async def tilt():
        grip = await shown.js("() => ({...xrays[0].drawn.ring.grips[0]})")
        box = await shown.surface().bounding_box()
        await shown.page.mouse.move(box["x"] + grip["x"], box["y"] + grip["y"])
        await shown.page.mouse.down()
        await shown.page.mouse.move(box["x"] + grip["x"] + 40, box["y"] + grip["y"] + 25, steps=5)
        await shown.page.mouse.up()
        await shown.settled()

    world(tilt())
    down = shown.registration.xrays[0].camera.camera_from_world[1, :3]
    assert np.allclose(rotated(shown), -10 * down, atol=1e-3)


def test_nonsense_from_a_page_moves_nothing(world, shown):
    async def ask():
        return [await shown.js("([m]) => xrays[0].ask('move', m, true)", [movement])
                for movement in ({"shift": [1]}, {"shift": ["a", 1]}, {"throw": [1, 2]}, {"beam": [1e300]}, [1, 2])]

    assert all("expected" in answer["refused"] or "needs" in answer["refused"] for answer in world(ask()))
    assert np.array_equal(pose(shown), START)


# What is seen

def orange(image) -> np.ndarray:
    return image[..., 0] - image[..., 2] > 60


def blue(image) -> np.ndarray:
    return image[..., 2] - image[..., 0] > 60


async def seen(shown, mode: str, number: int = 0, opacity: float = 0.5) -> np.ndarray:
    """The picture in a mode, on the X-ray's pixels: (128, 128, 3)."""
    shown.registration.node.SetParameter("overlay", mode)
    shown.registration.node.SetParameter("opacity", str(opacity))
    await asyncio.sleep(0.15)
    await shown.settled()
    await shown.js("(flickering) => xrays.forEach((x) => { x.flickering = flickering; x.paint(); })", True)
    picture = await shown.colours(number)
    places = await shown.js("(n) => [xrays[n].frame.toView([0, 0]), xrays[n].frame.scale * xrays[n].ratio]", number)
    (left, top), scale = np.array(places[0]), places[1]
    index = np.arange(SIZE)
    return picture[np.rint(top + scale * index).astype(int)][:, np.rint(left + scale * index).astype(int)]


def grey(line_integrals, low=0.0, high=3.0) -> np.ndarray:
    return 235 * np.clip((line_integrals - low) / (high - low), 0, 1)


def xray_values(shown, number: int = 0) -> np.ndarray:
    return shown.session.xray(shown.registration.xrays[number]).line_integrals


def test_the_x_ray_alone_is_in_its_window(world, shown):
    picture = world(seen(shown, "off"))
    assert np.ptp(picture, axis=2).max() == 0
    assert np.abs(picture[..., 0] - grey(xray_values(shown))).max() < 12  # between pixels
    assert np.abs(picture[..., 0] - grey(xray_values(shown))).mean() < 1.5


def test_blend_mixes_x_ray_and_drr_by_opacity(world, shown):
    alone, drr, half = (world(seen(shown, "blend", opacity=opacity)) for opacity in (0.0, 1.0, 0.5))
    assert np.abs(half - (alone + drr) / 2).max() <= 2
    assert np.abs(drr - alone).max() > 40
    # Where the pose is right, the DRR in the X-ray's greys is the X-ray.
    from phantom import TRUE_POSE

    shown.registration.world_from_ct = TRUE_POSE
    right = world(seen(shown, "blend", opacity=1.0))
    assert np.abs(right - alone).mean() < 0.3 * np.abs(drr - alone).mean()


def test_flicker_shows_them_by_turns(world, shown):
    drr = world(seen(shown, "flicker"))
    assert np.abs(drr - world(seen(shown, "blend", opacity=1.0))).max() == 0
    world(seen(shown, "flicker"))
    world(shown.js("() => xrays.forEach((x) => { x.flickering = false; x.paint(); })"))
    off = world(shown.colours())
    world(seen(shown, "off"))
    assert np.array_equal(off, world(shown.colours()))


def test_checkerboard_has_tiles_of_both(world, shown):
    board, alone, drr = (world(seen(shown, mode, opacity=1.0)) for mode in ("checkerboard", "off", "blend"))
    row, column = np.indices((SIZE, SIZE)) // (SIZE // 8)
    within = np.indices((SIZE, SIZE)) % (SIZE // 8)
    inner = ((within > 1) & (within < SIZE // 8 - 2)).all(axis=0)
    xray_turn = (row + column) % 2 == 0
    covered = ndimage.binary_erosion(np.abs(drr - alone).max(axis=2) > 0, iterations=3)
    assert covered.mean() > 0.3
    assert np.array_equal(board[inner & xray_turn], alone[inner & xray_turn])
    assert np.abs(board - drr)[inner & ~xray_turn & covered].max() <= 2


def test_edges_are_orange_lines_over_the_x_ray(world, shown):
    edges, alone = world(seen(shown, "edges")), world(seen(shown, "off"))
    assert 0.01 < orange(edges).mean() < 0.4
    assert not blue(edges).any()
    quiet = np.abs(edges - alone).max(axis=2) == 0
    assert quiet.mean() > 0.4


def test_difference_is_orange_and_blue_and_fades_where_the_pose_is_right(world, shown):
    from phantom import TRUE_POSE

    wrong = world(seen(shown, "difference"))
    shown.registration.world_from_ct = TRUE_POSE
    right = world(seen(shown, "difference"))
    assert orange(wrong).mean() > 0.02
    assert blue(wrong).mean() > 0.02
    assert (orange(right) | blue(right)).mean() < 0.3 * (orange(wrong) | blue(wrong)).mean()


def test_two_colours_are_grey_where_the_pose_is_right(world, shown):
    from phantom import TRUE_POSE

    wrong = world(seen(shown, "colours"))
    shown.registration.world_from_ct = TRUE_POSE
    right = world(seen(shown, "colours"))
    assert np.ptp(right, axis=2).mean() < 0.5 * np.ptp(wrong, axis=2).mean()


def test_the_drr_follows_the_ct_in_every_view(world, shown):
    before = [world(seen(shown, "blend", number, opacity=1.0)) for number in (0, 1)]
    world(drag(shown, (50, 70), (60, 70)))
    after = [world(seen(shown, "blend", number, opacity=1.0)) for number in (0, 1)]
    assert np.abs(after[0] - before[0]).max() > 60
    assert np.abs(after[0][:, 30:100] - before[0][:, 20:90]).mean() < 0.4 * np.abs(after[0] - before[0])[:, 30:100].mean()
    assert np.abs(after[1] - before[1]).max() > 5


# Window, zoom, pan

def window(shown, number: int = 0) -> tuple[float, float]:
    display = shown.registration.xrays[number].node.GetDisplayNode()
    return display.GetWindowLevelMin(), display.GetWindowLevelMax()


def test_the_right_button_changes_the_window_and_the_scene_keeps_it(world, shown):
    box = world(shown.surface().bounding_box())

    async def right_drag():
        x, y = await shown.place(MIDDLE)
        await shown.page.mouse.move(x, y)
        await shown.page.mouse.down(button="right")
        await shown.page.mouse.move(x + box["width"] / 4, y + box["height"] / 6, steps=5)
        await shown.page.mouse.up(button="right")
        await asyncio.sleep(0.3)

    world(right_drag())
    width, level = 3 * np.exp(0.5), 1.5 - 3 / 6
    assert window(shown) == pytest.approx((level - width / 2, level + width / 2), abs=1e-3)
    assert window(shown, 1) == (0.0, 3.0)
    assert np.array_equal(pose(shown), START)
    picture = world(seen(shown, "off"))
    assert np.abs(picture[..., 0] - grey(xray_values(shown), *window(shown))).mean() < 1.5


def test_the_window_is_typed_and_the_greys_are_inverted(world, shown):
    async def type_them():
        page, cell = shown.page, shown.page.locator(".mvx").first
        await cell.get_by_role("button", name="Brightness and contrast").click()
        await cell.get_by_label("White at, line integral").fill("2.5")
        await page.keyboard.press("Tab")
        await asyncio.sleep(0.2)
        typed = window(shown)
        await cell.get_by_label("White at, line integral").fill("-4")  # below black: refused
        await page.keyboard.press("Tab")
        await cell.get_by_label("Bone dark").check()
        await asyncio.sleep(0.2)
        return typed

    assert world(type_them()) == (0.0, 2.5)
    assert window(shown) == (0.0, 2.5)
    picture = world(seen(shown, "off"))
    assert np.abs(picture[..., 0] - (235 - grey(xray_values(shown), 0, 2.5))).mean() < 1.5


@pytest.mark.parametrize("notches", [3, -2])
def test_a_zoom_keeps_what_is_under_the_mouse(world, shown, notches):
    async def turn():
        x, y = np.rint(await shown.place((90, 40)))  # a wheel's events come at whole pixels
        box = await shown.surface().bounding_box()
        pixel = await shown.js("(at) => xrays[0].frame.toImage(at)", [x - box["x"], y - box["y"]])
        await shown.page.mouse.move(x, y)
        await shown.page.mouse.wheel(0, -100 * notches)
        await shown.settled()
        return (x, y), await shown.place(pixel), await shown.js("() => xrays[0].frame.zoom")

    before, after, zoom = world(turn())
    assert np.allclose(before, after, atol=0.01)
    assert zoom == pytest.approx(max(1.2**notches, 0.5))


@pytest.mark.parametrize("button, key", [("middle", None), ("left", "Shift")])
def test_a_pan_takes_along_what_is_under_the_mouse(world, shown, button, key):
    async def pan():
        await shown.page.mouse.move(*await shown.place(MIDDLE))
        await shown.page.mouse.wheel(0, -300)
        x, y = await shown.place((70, 50))
        await shown.page.mouse.move(x, y)
        if key:
            await shown.page.keyboard.down(key)
        await shown.page.mouse.down(button=button)
        await shown.page.mouse.move(x + 31, y - 17, steps=4)
        await shown.page.mouse.up(button=button)
        if key:
            await shown.page.keyboard.up(key)
        return (x + 31, y - 17), await shown.place((70, 50))

    expected, found = world(pan())
    assert np.allclose(expected, found, atol=0.01)
    assert np.array_equal(pose(shown), START)


def test_a_drag_in_a_zoomed_view_moves_by_the_pixels_under_the_mouse(world, shown):
    async def zoom():
        await press(shown, "+", "+", "+", "d", "s")
        await drag(shown, (60, 70), (66, 74))

    world(zoom())
    camera = shown.registration.xrays[0].camera
    assert np.allclose(projected(camera, centre(shown) + moved(shown)) - projected(camera, centre(shown)), (6, 4), atol=1e-3)


# The linked cursor

def test_a_click_is_told_as_a_pixel(world, shown):
    async def click():
        await shown.page.mouse.click(*await shown.place((40.25, 81.5)))
        await shown.settled()

    world(click())
    (name, column, row), = shown.called
    assert (name, np.round(column, 2), np.round(row, 2)) == ("point", pytest.approx(40.25, abs=0.15), pytest.approx(81.5, abs=0.15))
    assert np.array_equal(pose(shown), START)


def test_cursor_and_epipolar_line_are_where_the_cameras_say(world, shown):
    first, second = shown.registration.xrays
    point = np.array([12.0, -7.0, 9.0])  # LPS mm
    cameras = [view.camera for view in (first, second)]

    async def put(view, camera):
        world.cursor.points.AddControlPoint(*view.ras_of(projected(camera, point)))
        world.cursor.update()
        await asyncio.sleep(0.2)
        return [await shown.js("(n) => ({...xrays[n].view, drawn: JSON.parse(JSON.stringify(xrays[n].drawn))})", number)
                for number in (0, 1)]

    here, there = world(put(first, cameras[0]))
    assert np.allclose(here["seen"], projected(cameras[0], point), atol=2e-3)
    assert here["lines"] == [] and here["point"] is None and there["point"] is None
    # The line in the other view: where P2 sends two points of the ray through the pixel.
    P, source = cameras[0].projection_matrix, cameras[0].source
    along = np.linalg.inv(P[:, :3]) @ np.append(projected(cameras[0], point), 1)
    on_line = [projected(cameras[1], source + depth * along / np.linalg.norm(along)) for depth in (600, 800)]
    (a, b), = np.array(there["lines"])
    direction = (b - a) / np.linalg.norm(b - a)
    assert all(abs(np.linalg.det([direction, at - a])) < 2e-3 for at in on_line)
    assert len(there["drawn"]["lines"]) == 1
    here, there = world(put(second, cameras[1]))
    for told, camera in zip((here, there), cameras):
        assert np.allclose(told["point"], projected(camera, point), atol=2e-3)
        assert len(told["lines"]) == 1
    x, y = world(shown.js("() => xrays[0].frame.toView(xrays[0].view.point)"))
    assert here["drawn"]["point"].startswith(f"M{x + 6}".split(".")[0])


# The rest

def test_what_is_written(world, shown):
    async def texts():
        return [await shown.page.locator(".mvx-title").nth(number).inner_text() for number in (0, 1)]

    first, second = world(texts())
    assert first.split("\n")[:2] == ["view1", "LAO 0.0° CRA 0.0°"]
    assert second.startswith("<img src=x onerror=alert(1)>\nLAO 90.0° CRA 0.0°")  # a name, and nothing else
    assert world(shown.page.locator("img").count()) == 0
    assert "line integral" in world(shown.page.locator(".mvx-told").first.inner_text())


def test_everything_has_a_name_and_a_place_in_the_order_of_the_keyboard(world, shown):
    async def names():
        await shown.surface().focus()
        found = []
        for _ in range(7):
            await shown.page.keyboard.press("Tab")
            found.append(await shown.page.evaluate("document.activeElement.getAttribute('aria-label')"))
        return found

    assert world(names()) == ["Zoom out", "Show all of the X-ray", "Zoom in", "Brightness and contrast", "Handles to turn and tilt the CT",
                              "Mouse and keys", "Full screen"]
    assert "X-ray view1" in world(shown.surface().get_attribute("aria-label"))


def test_full_screen_and_back(world, shown):
    async def toggle():
        await shown.surface().focus()
        await shown.page.keyboard.press("f")
        await asyncio.sleep(0.5)
        large = await shown.js("() => [document.fullscreenElement === xrays[0].$refs.root, xrays[0].full]")
        await shown.page.keyboard.press("f")
        await asyncio.sleep(0.5)
        return large, await shown.js("() => xrays[0].full")

    assert world(toggle()) == ([True, True], False)


def test_a_reload_finds_everything_again(world, shown):
    async def reload():
        await drag(shown, (50, 70), (62, 61))
        before = await seen(shown, "blend")
        await shown.page.reload()
        await asyncio.sleep(0.5)
        await shown.settled()
        return before, await seen(shown, "blend")

    before, after = world(reload())
    assert np.array_equal(before, after)
