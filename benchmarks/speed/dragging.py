"""Pictures of a CT that is dragged in the page of `mvreg view`, which no peer has.

They are measured in a process of its own, as the page has one:

    python -m benchmarks.speed.dragging CASE

A movement goes to the pane of one X-ray as a page sends it, and the next one once the answer is
there; the other X-rays' pictures are fetched as they are announced. All is done as in the server
but the websocket: rendering, composing and encoding.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from contextlib import AbstractContextManager
from functools import partial
from time import perf_counter, process_time
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid

from .measurement import Job, Setting, compared

#: The acceptance: both X-rays at least this often, on two idle cores.
LEAST_PER_S = 12.0
REPEATS, SECONDS = 7, 2.0
#: Until the resolution suits the machine.
SETTLING_S = 3.0
#: How far the CT is moved to and fro, and in how many seconds.
AMPLITUDE_MM, PERIOD_S = 15.0, 2.0
#: Overlays: a DRR, which the page composes, and pictures that are composed here.
MODES = ("blend", "colours")


class _State(dict, AbstractContextManager):
    """The part of trame's state that a pane uses."""

    def __exit__(self, *_error: object) -> None:
        pass


class _Page:
    """Panes of a session's X-rays without a browser: their server, and the application around them."""

    def __init__(self, session: Any) -> None:
        from MultiViewRegistrationLib.viewer.xray_pane import XRayPane

        self.requests: dict[str, Any] = {}
        controller = SimpleNamespace(
            trigger=lambda name: partial(self.requests.__setitem__, name),
            trigger_unregister=self.requests.pop,
        )
        server = SimpleNamespace(controller=controller, state=_State())
        self.state = server.state
        self.views = self
        self.cursor = None
        self.panes: dict[Any, Any] = {}
        for view in session.registration.xrays:
            self.panes[view.node] = XRayPane(cast(Any, server), session, view, cast(Any, self))

    def may_move(self) -> bool:
        return True

    def begin_move(self) -> None: ...

    def moved(self) -> None: ...

    def end_move(self) -> None: ...

    def toggle_move(self) -> None: ...

    def put_point(self, *_place: object) -> None: ...


def jobs(setting: Setting) -> list[Job]:
    """The job that measures pictures per second; none on a device, as the page draws on the processor."""
    if setting.device is not None:
        return []
    return [Job("drag: pictures while the CT is dragged", partial(_dragged, setting))]


def _dragged(setting: Setting) -> list[dict]:
    """Rows of the rate at which both X-rays are drawn, one for each of MODES."""
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(setting.case.path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise InputError(f"The pictures of the page could not be measured: {lines[-1]}")
    rows = []
    for found in json.loads(done.stdout.splitlines()[-1]):
        rates = found["rates"]
        note = (
            f"{min(rates):.1f} to {max(rates):.1f} in {SECONDS:g} s each; {found['cpu_ms']:.0f} ms of "
            f"processor time for both; {found['columns']} and {found['other_columns']} columns; load "
            f"average {found['load']:.1f}; at least {LEAST_PER_S:g} are wanted on two idle cores"
        )
        size = "x".join(map(str, setting.case.views[0].camera.size))
        name = f"pictures of {len(setting.case.views)} views {size}, {found['mode']}"
        rows.append(compared(name, "a second", (rates, []), "none has a page", note=note))
    return rows


async def _measured(page: _Page, pose: np.ndarray, mode: str, registration: Any) -> dict:
    """The rates of REPEATS runs, and what they took."""
    registration.node.SetParameter("overlay", mode)
    first, *others = page.panes.values()
    have = {pane.name: 0 for pane in page.panes.values()}
    counts = dict.fromkeys(have, 0)
    columns = dict.fromkeys(have, 0)

    def take(name: str, layer: dict) -> None:
        if layer["stamp"] not in (0, have[name]):
            have[name] = layer["stamp"]
            columns[name] = layer["columns"]
            counts[name] += 1

    async def drag(seconds: float) -> float:
        counts.update(dict.fromkeys(counts, 0))
        began = perf_counter()
        while (passed := perf_counter() - began) < seconds:
            shift = AMPLITUDE_MM * np.sin(2 * np.pi * passed / PERIOD_S)
            moved = rigid.translation([shift, 0.0, 0.0]) @ pose
            with page.state:
                take(first.name, page.requests[f"{first.name}_move"](moved.tolist(), False))
            await asyncio.sleep(0)
            for pane in others:
                shown = page.state[pane.name]
                if shown["layer"] != have[pane.name]:
                    take(pane.name, page.requests[f"{pane.name}_layer"](have[pane.name]))
        return min(counts.values()) / (perf_counter() - began)

    await drag(SETTLING_S)
    began = process_time()
    rates = []
    drawn = 0
    for _ in range(REPEATS):
        rates.append(await drag(SECONDS))
        drawn += min(counts.values())
    cpu_ms = 1e3 * (process_time() - began) / max(drawn, 1)
    await asyncio.sleep(0.2)  # what follows the last movement
    return {
        "mode": mode,
        "rates": rates,
        "cpu_ms": cpu_ms,
        "columns": columns[first.name],
        "other_columns": max(columns[pane.name] for pane in others),
        "load": os.getloadavg()[0],
    }


def main(case: str) -> None:
    """Print what was measured of a case as JSON."""
    import slicer
    from trame_slicer.core import SlicerApp

    from MultiViewRegistrationLib.mrml import display
    from MultiViewRegistrationLib.mrml.loading import read_case
    from MultiViewRegistrationLib.registration.warm_up import warm_up
    from MultiViewRegistrationLib.session.session import Session
    from MultiViewRegistrationLib.studies.evaluation import truth_of

    warm_up()
    slicer.mrmlScene = SlicerApp().scene
    read = read_case(case)
    registration = read(slicer.mrmlScene)
    pose = truth_of(read.case)[0]
    registration.world_from_ct = pose
    display.show(registration)
    session = Session(registration)
    while not session.prepare():
        session.poll()

    async def measured() -> list[dict]:
        page = _Page(session)
        return [await _measured(page, pose, mode, registration) for mode in MODES]

    print(json.dumps(asyncio.run(measured())))


if __name__ == "__main__":
    main(*sys.argv[1:])
