"""A page that shows the X-rays of a session and nothing else, and a browser that looks at it; all in one event loop, with the scene."""

from __future__ import annotations

import asyncio
import os
from base64 import b64decode
from contextlib import asynccontextmanager
from io import BytesIO

import numpy as np
from PIL import Image

#: A server for each page, as trame keeps those it has by name.
_count = 0
TICK_S = 0.05


class XRayPage:
    """X-rays of a session side by side in a page; what was called of the application is counted."""

    def __init__(self, session, page, views) -> None:
        self.session, self.page, self.views = session, page, views
        self.called: list = []
        self.may_move = True
        self.errors: list[str] = []

    @property
    def registration(self):
        return self.session.registration

    def surface(self, number: int = 0):
        return self.page.locator(".mvx-surface").nth(number)

    async def place(self, pixel, number: int = 0) -> tuple[float, float]:
        """Where a pixel of an X-ray is in the window."""
        box = await self.surface(number).bounding_box()
        frame = await self.js(
            "([n, u]) => { const f = xrays[n].frame; return f.toView(u); }", [number, list(map(float, pixel))]
        )
        return box["x"] + frame[0], box["y"] + frame[1]

    async def js(self, function: str, argument=None):
        """A JavaScript function's result; it knows the components as `xrays`."""
        script = (
            "async (a) => { const xrays = [...document.querySelectorAll('.mvx')].map((e) => e.xray).filter((x) => x);"
            " const done = (x) => x.picture.film && !x.stale() && !x.mover.busy && !x.scheduled;"
            f" return await ({function})(a); }}"
        )
        return await self.page.evaluate(script, argument)

    async def settled(self, seconds: float = 20.0) -> None:
        """Wait until all that was asked for is seen, and drawn sharp."""
        for _ in range(int(seconds / TICK_S)):
            await asyncio.sleep(TICK_S)
            drawn = self.session.drawing._drawn.values()
            sharp = self.session.drawing.mode == "off" or (drawn and all(one.sharp for one in drawn))
            if sharp and await self.js("() => xrays.length > 0 && xrays.every(done)"):
                return
        raise TimeoutError(f"The page did not come to rest: {self.errors}")

    async def colours(self, number: int = 0, flickering: bool = True) -> np.ndarray:
        """The picture (rows, columns, 3) as it is on the X-ray's canvas, in the canvas's own pixels.   flickering: while the DRR shows."""
        png = await self.js(
            "([n, flickering]) => { const x = xrays[n]; x.flickering = flickering; x.paint();"
            " return x.$refs.canvas.toDataURL('image/png'); }",
            [number, flickering],
        )
        return np.asarray(Image.open(BytesIO(b64decode(png.partition(",")[2]))).convert("RGB")).astype(int)


@asynccontextmanager
async def xray_page(session, chromium: str, size=(1280, 640), cursor=None):
    """A page of a session's X-rays in a browser."""
    global _count
    os.environ["TRAME_ARGS"] = ""
    from MultiViewRegistrationLib.viewer.xray_view.view import XRayView
    from playwright.async_api import async_playwright
    from trame.app import get_server
    from trame.ui.html import DivLayout
    from trame.widgets import html

    _count += 1
    server = get_server(f"xrays{_count}", client_type="vue3")
    shown = XRayPage(session, None, [])

    def told(what):
        return lambda *values: shown.called.append((what, *values))

    with DivLayout(server) as layout:
        layout.root.style = "position: fixed; inset: 0; display: flex; gap: 4px; background: #0c0f13"
        for node in session.registration.xrays:
            view = XRayView(
                server,
                session,
                node,
                may_move=lambda: shown.may_move,
                on_begin=told("begin"),
                on_moved=told("moved"),
                on_end=told("end"),
                on_point=told("point"),
                cursor=lambda: cursor,
            )
            shown.views.append(view)
            with html.Div(style="flex: 1; min-width: 0; height: 100%"):
                view.build()

    async def tick():
        while True:
            await asyncio.sleep(TICK_S)
            try:
                with server.state:
                    session.poll(0)
                    for view in shown.views:
                        view.refresh()
            except Exception as error:
                shown.errors.append(repr(error))
                raise

    serving = asyncio.ensure_future(
        server.start(
            port=0,
            host="127.0.0.1",
            open_browser=False,
            show_connection_info=False,
            disable_logging=True,
            exec_mode="coroutine",
            timeout=0,
        )
    )
    await server.ready
    ticking = asyncio.ensure_future(tick())
    try:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            shown.page = await browser.new_page(viewport={"width": size[0], "height": size[1]})
            shown.page.on(
                "console", lambda message: shown.errors.append(message.text) if message.type == "error" else None
            )
            shown.page.on("pageerror", lambda error: shown.errors.append(str(error)))
            await shown.page.goto(f"http://127.0.0.1:{server.port}/")
            yield shown
            await browser.close()
    finally:
        for view in shown.views:
            view.close()
        ticking.cancel()
        await server.stop()
        serving.cancel()
