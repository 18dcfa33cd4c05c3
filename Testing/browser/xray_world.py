"""The X-rays in a page in a real Chromium, for tests of what mouse and keys do there and what is seen.

Page, server and scene share one event loop, so that a test can look at all of them. Geometry is held against plain projection matrices.
"""

from __future__ import annotations

import asyncio

import numpy as np
from phantom_scene import START, phantom_registration
from scipy.spatial.transform import Rotation
from xray_page import xray_page

SIZE = 128
MIDDLE = (63.5, 63.5)


class World:
    """The page in its event loop."""

    def __init__(self, chromium: str) -> None:
        import slicer
        from trame_slicer.core import SlicerApp

        from MultiViewRegistrationLib.mrml import display
        from MultiViewRegistrationLib.mrml.cursor import LinkedCursor
        from MultiViewRegistrationLib.session.session import Session

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


def pose(shown) -> np.ndarray:
    return shown.registration.world_from_ct


def moved(shown) -> np.ndarray:
    """How the CT's centre moved since the start, mm."""
    from MultiViewRegistrationLib.mrml import manual_pose

    centre = np.append(manual_pose.centre_in_ct(shown.registration), 1)
    return (pose(shown) @ centre - START @ centre)[:3]


def rotated(shown) -> np.ndarray:
    """By what rotation vector, degrees."""
    return np.degrees(Rotation.from_matrix(pose(shown)[:3, :3] @ START[:3, :3].T).as_rotvec())


def projected(camera, point) -> np.ndarray:
    u, v, w = camera.projection_matrix @ np.append(point, 1)
    return np.array([u / w, v / w])


def centre(shown) -> np.ndarray:
    from MultiViewRegistrationLib.mrml import manual_pose

    return (START @ np.append(manual_pose.centre_in_ct(shown.registration), 1))[:3]


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


async def seen(shown, mode: str, number: int = 0, opacity: float = 0.5) -> np.ndarray:
    """The picture in a mode, on the X-ray's pixels: (128, 128, 3)."""
    shown.registration.node.SetParameter("overlay", mode)
    shown.registration.node.SetParameter("opacity", str(opacity))
    await asyncio.sleep(0.15)
    await shown.settled()
    picture = await shown.colours(number)
    places = await shown.js("(n) => [xrays[n].frame.toView([0, 0]), xrays[n].frame.scale * xrays[n].ratio]", number)
    (left, top), scale = np.array(places[0]), places[1]
    index = np.arange(SIZE)
    return picture[np.rint(top + scale * index).astype(int)][:, np.rint(left + scale * index).astype(int)]
