"""The scene saved as a file that Slicer opens, and this page."""

from __future__ import annotations

import asyncio
import re

from ..errors import InputError
from ..session.background_task import Worker
from .scene_files import save_scene

#: Seconds between two looks at the thread.
LOOK_S = 0.05


class Saving:
    """Saves the scene for the page that asks for it."""

    def __init__(self, application, downloads) -> None:
        self._application, self._downloads = application, downloads
        application.state.saving = False
        application.server.controller.trigger("mvreg_save")(self.save)

    async def save(self) -> str:
        """The address of the .mrb, "" where it could not be written."""
        application = self._application
        if application.state.saving or application.registration is None:
            return ""
        address = ""
        application.state.saving = True
        application.state.flush()
        await asyncio.sleep(LOOK_S)  # the page shows it before the scene is busy
        with application.acting():
            name = re.sub(r"[^\w.-]+", "_", application.registration.name).strip("_.") or "scene"
            pack = save_scene(application.scene, self._downloads.new_folder() / f"{name}.mrb")
            worker = Worker(lambda tell: pack())
            while worker.state == "running":
                await asyncio.sleep(LOOK_S)
                worker.poll(0)
            if worker.state != "done":
                raise InputError(worker.message)
            address = self._downloads.offer(worker.result)
        application.state.saving = False
        return address
