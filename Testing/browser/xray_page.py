"""X-rays of the phantom in a page and a browser that looks at it, in one event loop with the scene, so that a test sees them all."""

import asyncio
import os
from base64 import b64decode
from contextlib import AsyncExitStack
from io import BytesIO
from itertools import count

import numpy as np
from helpers.phantom_scene import START, phantom_registration
from PIL import Image
from scipy.spatial.transform import Rotation

TICK_S = 0.05
SIZE = 128
MIDDLE = (63.5, 63.5)
_numbers = count()  # a server of its own for each page of a process


class XRayPage:
    """Panes side by side in a page, whose `host` this is.

    `page(coroutine)` runs one in the event loop.

    called: what the panes have called of the host.   allowed: whether the CT may be moved.
    moves: whether drags move it.   errors: of the page.
    """

    def __init__(
        self,
        chromium,
        *,
        registration=None,
    ):
        """registration: makes it in a scene; that of the phantom by default."""
        import slicer
        from trame_slicer.core import SlicerApp

        from MultiViewRegistrationLib.mrml import display
        from MultiViewRegistrationLib.mrml.cursor import LinkedCursor
        from MultiViewRegistrationLib.session.session import Session

        slicer.mrmlScene = SlicerApp().scene
        make = registration or (lambda scene: phantom_registration(scene, "<b>Phantom</b>"))
        self.session = Session(make(slicer.mrmlScene))
        self.registration = self.session.registration
        self.registration.xrays[1].node.SetName("<img src=x onerror=alert(1)>")
        display.show(self.registration)
        while not self.session.prepare():
            self.session.poll()
        self.cursor = LinkedCursor(self.registration)
        self.called, self.allowed, self.moves, self.errors, self._ticks = [], True, True, [], 0
        self._loop, self._closing = asyncio.new_event_loop(), AsyncExitStack()
        self._loop.run_until_complete(self._open(chromium))

    def __call__(self, coroutine):
        return self._loop.run_until_complete(asyncio.wait_for(coroutine, 60))

    def close(self):
        self._loop.run_until_complete(self._closing.aclose())
        self._loop.close()

    # The host of the panes

    def may_move(self):
        return self.allowed and self.moves

    def toggle_move(self):
        self.moves = not self.moves

    def begin_move(self):
        self.called.append("begin")

    def moved(self):
        self.called.append("moved")

    def end_move(self):
        self.called.append("end")

    def show_message(self, message):
        self.called.append(message)

    def put_point(self, view, column, row):
        self.called.append((view.name, column, row))

    async def _open(self, chromium):
        os.environ["TRAME_ARGS"] = ""
        from playwright.async_api import async_playwright
        from trame.app import get_server
        from trame.ui.html import DivLayout
        from trame.widgets import html

        from MultiViewRegistrationLib.viewer.xray_pane import XRayPane

        server = get_server(f"xrays{next(_numbers)}", client_type="vue3")
        self.views, self.panes = self, {}
        with DivLayout(server) as layout:
            layout.root.style = (
                "position: fixed; inset: 0; display: flex; gap: 4px; background: #0c0f13"
            )
            for view in self.registration.xrays:
                pane = self.panes[view.node] = XRayPane(server, self.session, view, self)
                self._closing.callback(pane.close)
                with html.Div(style="flex: 1; min-width: 0; height: 100%"):
                    pane.build()

        async def tick():
            while True:
                await asyncio.sleep(TICK_S)
                with server.state:
                    self.session.poll(0)
                    for shown in self.panes.values():
                        shown.refresh()
                    self._ticks += 1
                    server.state.ticks = self._ticks

        quiet = dict(open_browser=False, show_connection_info=False, disable_logging=True)
        serving = asyncio.ensure_future(
            server.start(port=0, host="127.0.0.1", exec_mode="coroutine", timeout=0, **quiet)
        )
        self._closing.callback(serving.cancel)
        self._closing.push_async_callback(server.stop)
        await server.ready
        self._closing.callback(asyncio.ensure_future(tick()).cancel)
        playwright = await self._closing.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        self._closing.push_async_callback(browser.close)
        self.page = await browser.new_page(viewport={"width": 1280, "height": 640})
        self.page.on(
            "console",
            lambda message: self.errors.append(message.text) if message.type == "error" else None,
        )
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        await self.page.goto(f"http://127.0.0.1:{server.port}/")

    # What a person does and sees

    async def reset(self):
        """The page as it was at first."""
        self.registration.world_from_ct = START
        self.show("blend")
        self.allowed = self.moves = True
        self.cursor.clear()
        for view in self.registration.xrays:
            view.node.GetDisplayNode().SetWindowLevelMinMax(0.0, 3.0)
            view.node.GetDisplayNode().SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
        await self.js("() => xrays.forEach((x) => { x.fit(); x.open = false; })")
        await self.settled()
        self.called.clear()

    def show(self, mode, opacity=0.5):
        self.registration.node.SetParameter("overlay", mode)
        self.registration.node.SetParameter("opacity", str(opacity))

    def surface(self, number=0):
        return self.page.locator(".mvx-surface").nth(number)

    async def place(self, pixel, number=0):
        """Where a pixel of an X-ray is in the window."""
        box = await self.surface(number).bounding_box()
        x, y = await self.js(
            "([n, u]) => xrays[n].frame.toView(u)", [number, list(map(float, pixel))]
        )
        return box["x"] + x, box["y"] + y

    async def js(self, function, argument=None):
        """A JavaScript function's result; it knows the components as `xrays`."""
        script = (
            "async (a) => { const xrays = [...document.querySelectorAll('.mvx')].map((e) => e.xray).filter((x) => x);"
            " const done = (x) => x.picture.film && !x.stale() && !x.mover.busy && !x.scheduled && !x.fetching;"
            f" return await ({function})(a); }}"
        )
        return await self.page.evaluate(script, argument)

    async def settled(self, seconds=20.0):
        """Wait until all that was asked for has reached the page, is seen, and drawn sharp."""
        told = self._ticks + 2
        for _ in range(int(seconds / TICK_S)):
            await asyncio.sleep(TICK_S)
            drawn = self.session.drawing._drawn.values()
            sharp = self.session.drawing.mode == "off" or (
                drawn and all(one.sharp for one in drawn)
            )
            script = "(told) => xrays.length > 0 && window.trame.state.state.ticks >= told && xrays.every(done)"
            if sharp and self._ticks >= told and await self.js(script, self._ticks):
                return
        raise TimeoutError(f"The page did not come to rest: {self.errors}")

    async def colours(self, number=0, flickering=True):
        """The picture (rows, columns, 3) as it is on the X-ray's canvas, in the canvas's own pixels.   flickering: while the DRR shows."""
        png = await self.js(
            "([n, flickering]) => { const x = xrays[n]; x.flickering = flickering; x.paint();"
            " return x.$refs.canvas.toDataURL('image/png'); }",
            [number, flickering],
        )
        return np.asarray(
            Image.open(BytesIO(b64decode(png.partition(",")[2]))).convert("RGB")
        ).astype(int)

    async def seen(self, mode, number=0, opacity=0.5):
        """The picture in a mode, on the X-ray's pixels: (128, 128, 3)."""
        self.show(mode, opacity)
        await self.settled()
        picture = await self.colours(number)
        places = await self.js(
            "(n) => [xrays[n].frame.toView([0, 0]), xrays[n].frame.scale * xrays[n].ratio]", number
        )
        (left, top), scale = np.array(places[0]), places[1]
        rows, columns = (
            np.rint(begin + scale * np.arange(SIZE)).astype(int) for begin in (top, left)
        )
        return picture[rows][:, columns]

    async def pull(self, begin, end, button="left", steps=7):
        """Drag from one place in the window to another."""
        mouse = self.page.mouse
        await mouse.move(*begin)
        await mouse.down(button=button)
        await mouse.move(*end, steps=steps)
        await mouse.up(button=button)
        await self.settled()

    async def drag(self, begin, end, number=0):
        """Drag from one pixel of an X-ray to another, as it lies at the beginning."""
        await self.pull(await self.place(begin, number), await self.place(end, number))

    async def press(self, *keys):
        await self.surface().focus()
        for key in keys:
            await self.page.keyboard.press(key)
        await self.settled()

    # Where the CT is

    @property
    def pose(self):
        return self.registration.world_from_ct

    @property
    def centre(self):
        """(3,) of the CT, at the start."""
        return (START @ self._centre_in_ct)[:3]

    @property
    def moved_by(self):
        """(3,) how the CT's centre moved since the start, mm."""
        return ((self.pose - START) @ self._centre_in_ct)[:3]

    @property
    def rotated_by(self):
        """(3,) by what rotation vector, degrees."""
        return np.degrees(Rotation.from_matrix(self.pose[:3, :3] @ START[:3, :3].T).as_rotvec())

    @property
    def _centre_in_ct(self):
        from MultiViewRegistrationLib.mrml import manual_pose

        return np.append(manual_pose.centre_in_ct(self.registration), 1)


def projected(camera, point):
    u, v, w = camera.projection_matrix @ np.append(point, 1)
    return np.array([u / w, v / w])
