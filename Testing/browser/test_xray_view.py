"""What is seen of an X-ray in the page, in a real Chromium: overlays, window, zoom, marks, words."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from scipy import ndimage

pytest.importorskip("trame_slicer", reason="needs slicer-core: pip install -e .[viewer]")
pytest.importorskip("playwright", reason="needs Playwright: pip install playwright")

from phantom_scene import START
from xray_world import MIDDLE, SIZE, centre, drag, moved, pose, press, projected, seen


def orange(image) -> np.ndarray:
    return image[..., 0] - image[..., 2] > 60


def blue(image) -> np.ndarray:
    return image[..., 2] - image[..., 0] > 60


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
    off = world(shown.colours(flickering=False))
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
    assert (
        np.abs(after[0][:, 30:100] - before[0][:, 20:90]).mean() < 0.4 * np.abs(after[0] - before[0])[:, 30:100].mean()
    )
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
    assert np.allclose(
        projected(camera, centre(shown) + moved(shown)) - projected(camera, centre(shown)), (6, 4), atol=1e-3
    )


# The linked cursor


def test_a_click_is_told_as_a_pixel(world, shown):
    async def click():
        await shown.page.mouse.click(*await shown.place((40.25, 81.5)))
        await shown.settled()

    world(click())
    ((name, column, row),) = shown.called
    assert (name, np.round(column, 2), np.round(row, 2)) == (
        "point",
        pytest.approx(40.25, abs=0.15),
        pytest.approx(81.5, abs=0.15),
    )
    assert np.array_equal(pose(shown), START)


def test_cursor_and_epipolar_line_are_where_the_cameras_say(world, shown):
    first, second = shown.registration.xrays
    point = np.array([12.0, -7.0, 9.0])  # LPS mm
    cameras = [view.camera for view in (first, second)]

    async def put(view, camera):
        world.cursor.points.AddControlPoint(*view.ras_of(projected(camera, point)))
        world.cursor.update()
        await asyncio.sleep(0.2)
        return [
            await shown.js("(n) => ({...xrays[n].view, drawn: JSON.parse(JSON.stringify(xrays[n].drawn))})", number)
            for number in (0, 1)
        ]

    here, there = world(put(first, cameras[0]))
    assert np.allclose(here["seen"], projected(cameras[0], point), atol=2e-3)
    assert here["lines"] == [] and here["point"] is None and there["point"] is None
    # The line in the other view: where P2 sends two points of the ray through the pixel.
    P, source = cameras[0].projection_matrix, cameras[0].source
    along = np.linalg.inv(P[:, :3]) @ np.append(projected(cameras[0], point), 1)
    on_line = [projected(cameras[1], source + depth * along / np.linalg.norm(along)) for depth in (600, 800)]
    ((a, b),) = np.array(there["lines"])
    direction = (b - a) / np.linalg.norm(b - a)
    assert all(abs(np.linalg.det([direction, at - a])) < 2e-3 for at in on_line)
    assert len(there["drawn"]["lines"]) == 1
    here, there = world(put(second, cameras[1]))
    for told, camera in zip((here, there), cameras):
        assert np.allclose(told["point"], projected(camera, point), atol=2e-3)
        assert len(told["lines"]) == 1
    x, y = world(shown.js("() => xrays[0].frame.toView(xrays[0].view.point)"))
    assert here["drawn"]["point"].startswith(f"M{x + 6}".split(".")[0])


def test_landmarks_are_where_they_were_clicked_and_where_the_ct_has_them(world, shown):
    from MultiViewRegistrationLib.geometry.landmarks import Landmark
    from MultiViewRegistrationLib.mrml import landmarks
    from MultiViewRegistrationLib.mrml.landmarks import place_landmarks

    camera, in_ct = shown.registration.xrays[0].camera, np.array([10.0, -12.0, 8.0])
    place_landmarks(shown.registration, [Landmark("<i>tip</i>", in_ct, {"view1": np.array([40.0, 81.0])})])

    def expected() -> np.ndarray:
        return projected(camera, (pose(shown) @ np.append(in_ct, 1))[:3])

    async def marks(number):
        await asyncio.sleep(0.2)
        return await shown.js(
            "(n) => [xrays[n].view.landmarks, JSON.parse(JSON.stringify(xrays[n].drawn.landmarks))]", number
        )

    try:
        (ct, clicked), drawn = world(marks(0))
        assert (ct["of"], clicked["of"], clicked["name"]) == ("ct", "clicked", "<i>tip</i>")
        assert np.allclose(clicked["at"], (40, 81), atol=2e-3) and np.allclose(ct["at"], expected(), atol=2e-3)
        assert (
            world(shown.js("() => [...document.querySelectorAll('.landmark text')].map(t => t.textContent)"))
            == ["<i>tip</i>"] * 3
        )
        assert [one["of"] for one in world(marks(1))[0]] == ["ct"]
        x, y = world(shown.js("(at) => xrays[0].frame.toView(at)", ct["at"]))
        assert drawn[0]["path"].startswith(f"M{x - 6:.3f}"[:6]) and drawn[0]["y"] == pytest.approx(y - 6)
        world(press(shown, "Shift+ArrowRight", "Shift+ArrowRight"))
        (moved_on, stays), _ = world(marks(0))
        assert (
            np.allclose(moved_on["at"], expected(), atol=2e-3) and abs(np.subtract(moved_on["at"], ct["at"])).max() > 1
        )
        assert stays == clicked
    finally:
        landmarks.remove(shown.registration, "<i>tip</i>")


# The rest


def test_what_is_written(world, shown):
    async def texts():
        return [await shown.page.locator(".mvx-title").nth(number).inner_text() for number in (0, 1)]

    first, second = world(texts())
    assert first.split("\n")[:2] == ["view1 \u2013 <b>Phantom</b>", "LAO 0.0° CRA 0.0°"]
    assert second.startswith(
        "<img src=x onerror=alert(1)> \u2013 <b>Phantom</b>\nLAO 90.0° CRA 0.0°"
    )  # a name, and nothing else
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

    assert world(names()) == [
        "Zoom out",
        "Show all of the X-ray",
        "Zoom in",
        "Brightness and contrast",
        "Handles to turn and tilt the CT",
        "Mouse and keys",
        "Full screen",
    ]
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
