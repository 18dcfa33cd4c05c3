"""Walks through the steps over and over, as the page would have it, until it is killed: python steps_walk.py CASE LOG EVERY_S.

Each line of the log is a state that the application has reached: its number, when, where the CT lies, how many landmarks there are, and for
how many seconds at most the computer has let the application wait so far.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from pathlib import Path
from time import time

import numpy as np
from trame.app import get_server

from MultiViewRegistrationLib.viewer import autosave, own_folders
from MultiViewRegistrationLib.viewer.transfers import Downloads, Uploads

#: The parameter of the registration with the state's number.
NUMBER = "walk"


async def walk(case: Path, log) -> None:
    from MultiViewRegistrationLib.mrml.landmarks import landmark_list, lists
    from MultiViewRegistrationLib.viewer.application import Application

    server = get_server("walk", client_type="vue3")
    application = Application(server, Uploads(), Downloads(), lambda: case)
    following, waited = asyncio.ensure_future(application.run()), [0.0]
    watching = asyncio.ensure_future(watch(waited))
    application.opener.open(case)
    while application.registration is None:
        await asyncio.sleep(0.05)
    rng, number = random.Random(), 0

    def reached() -> None:
        nonlocal number
        number += 1
        registration = application.registration
        registration.node.SetParameter(NUMBER, str(number))
        points = sum(markups.GetNumberOfControlPoints() for markups in lists(registration))
        log.write(json.dumps([number, time(), registration.world_from_ct.tolist(), points, waited[0]]) + "\n")
        log.flush()

    reached()
    while True:
        assert not following.done() and not watching.done()
        session = application.session
        step = rng.choice(["move", "move", "register", "cancel", "undo", "landmark", "rename"])
        if step == "move":
            moved = np.array(application.registration.world_from_ct)
            application.begin_move()
            for _ in range(4):
                moved[:3, 3] += [rng.uniform(-1, 1) for _ in range(3)]
                application.registration.world_from_ct = moved
                application.moved()
                await asyncio.sleep(0.05)
            application.end_move()
            await asyncio.sleep(0.1)
        elif step in ("register", "cancel"):
            with application.acting():
                session.register("given")
            await asyncio.sleep(rng.uniform(0, 0.5))
            if step == "cancel":
                session.cancel()
            while session.running:
                await asyncio.sleep(0.05)
        elif step == "undo":
            application.sections["register"].act("undo")
        elif step == "landmark":
            point = [rng.uniform(-20, 20) for _ in range(3)]
            landmark_list(application.registration).AddControlPoint(point, f"{number}")
        else:
            application.registration.xrays[0].change(rotation_sd_deg=rng.uniform(0.1, 2))
        reached()
        await asyncio.sleep(rng.uniform(0, 0.2))


async def watch(waited: list[float]) -> None:
    """Keep the longest time that this had to wait beyond what it asked for."""
    while True:
        before = time()
        await asyncio.sleep(0.05)
        waited[0] = max(waited[0], time() - before - 0.05)


if __name__ == "__main__":
    autosave.EVERY_S, autosave.FIRST_S = float(sys.argv[3]), 0.2
    with own_folders.temporary(), open(sys.argv[2], "a") as log:
        asyncio.run(walk(Path(sys.argv[1]), log))
