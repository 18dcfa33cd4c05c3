"""What mouse and keys do to the CT in an X-ray of the page, in a real Chromium."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

pytest.importorskip("trame_slicer", reason="needs slicer-core: pip install -e .[viewer]")
pytest.importorskip("playwright", reason="needs Playwright: pip install playwright")

from phantom_scene import START
from xray_world import MIDDLE, SIZE, centre, drag, moved, pose, press, projected, rotated


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
    (["ArrowRight"], "right", 0.1),
    (["Shift+ArrowRight"], "right", 1.0),
    (["Shift+ArrowUp"], "up", 1.0),
    (["PageUp"], "away", 0.1),
    (["Shift+PageDown"], "away", -1.0),
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
        places = [
            (
                box["x"] + ring["x"] + ring["radius"] * np.cos(angle),
                box["y"] + ring["y"] + ring["radius"] * np.sin(angle),
            )
            for angle in np.radians([40, 60])
        ]
        await shown.page.mouse.move(*places[0])
        await shown.page.mouse.down()
        await shown.page.mouse.move(*places[1], steps=9)
        await shown.page.mouse.up()
        await shown.settled()

    world(turn())
    camera = shown.registration.xrays[0].camera
    beam = (centre(shown) - camera.source) / np.linalg.norm(centre(shown) - camera.source)
    assert np.allclose(
        rotated(shown), 20 * beam, atol=0.02
    )  # clockwise in the image is clockwise as the source sees it
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
        return [
            await shown.js("([m]) => xrays[0].ask('move', m, true)", [movement])
            for movement in ({"shift": [1]}, {"shift": ["a", 1]}, {"throw": [1, 2]}, {"beam": [1e300]}, [1, 2])
        ]

    assert all("expected" in answer["refused"] or "needs" in answer["refused"] for answer in world(ask()))
    assert np.array_equal(pose(shown), START)
