"""TotalSegmentator, where its extension is installed: it segments the CT."""

from __future__ import annotations

import sys
from collections.abc import Callable
from queue import Empty, SimpleQueue
from subprocess import CalledProcessError, Popen
from threading import Thread
from typing import Any

import qt
import slicer

from ..errors import Cancelled, InputError
from ..translation import _

#: Seconds that are waited for a line before Slicer goes on.
LOOK_S = 0.02
#: On macOS its process may never end once it has said this: its workers do not.
SAVED = "Saved in "


class Segmenter:
    """Has TotalSegmentator's own module segment a CT.

    Its logic asks what it has to ask, starts a process, and waits for that in this thread; the
    waiting is done here instead, so that Slicer goes on meanwhile.

    Attributes
    ----------
    running
        Whether it is at work.
    said
        The last line that it has said.
    """

    def __init__(self) -> None:
        self.running = False
        self.said = ""
        self._cancelled = self._closed = False
        self._logic: Any = None

    @property
    def installed(self) -> bool:
        """Whether the extension is there."""
        return hasattr(slicer.modules, "totalsegmentator")

    def begin(self, ct: Any, done: Callable[[Any, str], object]) -> None:
        """Begin to segment a volume node.

        Parameters
        ----------
        done
            Called with the segmentation node and "", or None and a sentence that says why not.
        """
        if not self.running:
            self.running = True
            self.said = ""
            self._cancelled = False
            qt.QTimer.singleShot(0, lambda: self._run(ct, done))

    def cancel(self) -> None:
        """End it, and its process."""
        self._cancelled = True

    def close(self) -> None:
        """End it for good: there is nobody to tell any more."""
        self._cancelled = self._closed = True

    def _run(self, ct: Any, done: Callable[[Any, str], object]) -> None:
        node = None
        problem = ""
        try:
            node = self._segment(ct)
        except (Cancelled, InputError) as error:
            problem = str(error)
        except Exception as error:  # of many kinds, its own and those of its packages
            problem = _(
                "TotalSegmentator: has failed ({error}); the Python console has what it said."
            ).format(error=str(error).splitlines()[0] if str(error) else type(error).__name__)
        self.running = False
        self._logic = None
        if not self._closed:
            done(node, problem)

    def _segment(self, ct: Any) -> Any:
        from TotalSegmentator import TotalSegmentatorLogic

        self._logic = logic = TotalSegmentatorLogic()
        logic.logCallback = self._say
        logic.logProcessOutput = self._follow
        logic.setupPythonRequirements()  # asks before it installs anything
        name = _("{ct} bones").format(ct=ct.GetName())
        node = ct.GetScene().AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        node.CreateDefaultDisplayNodes()
        try:
            logic.process(ct, node, "normal", interactive=True)
            self._check(node)
        except BaseException:
            if node.GetScene() is not None:
                node.GetScene().RemoveNode(node)
            raise
        return node

    def _say(self, line: str) -> None:
        self.said = line.strip() or self.said
        slicer.app.processEvents()

    def _check(self, node: Any) -> None:
        if self._cancelled:
            raise Cancelled(_("TotalSegmentator: was cancelled."))
        if node.GetScene() is None or not node.GetSegmentation().GetNumberOfSegments():
            raise InputError(
                _("TotalSegmentator: has found nothing in the CT, expected bones; check the CT.")
            )

    def _follow(self, process: Popen, returnOutput: bool = False) -> str | None:
        """Wait for a process to end, in place of its logic's `logProcessOutput`."""
        lines: SimpleQueue[str] = SimpleQueue()
        reader = Thread(target=_read, args=(process, lines), daemon=True)
        reader.start()
        said: list[str] = []
        saved = False
        while not saved and (reader.is_alive() or not lines.empty()):
            if self._cancelled:
                process.kill()
                process.wait()
                raise Cancelled(_("TotalSegmentator: was cancelled."))
            try:
                said.append(lines.get(timeout=LOOK_S))
            except Empty:
                slicer.app.processEvents()
            else:
                self._logic.log(said[-1].rstrip())
                saved = sys.platform == "darwin" and SAVED in said[-1]
        if saved:
            process.kill()
        if process.wait() and not saved:
            raise CalledProcessError(process.returncode, process.args)
        return "".join(said) if returnOutput else None


def _read(process: Popen, lines: SimpleQueue[str]) -> None:
    """Put the lines of a process into a queue until it ends."""
    while True:
        try:
            line = process.stdout.readline() if process.stdout else ""
        except UnicodeDecodeError:  # a line in another encoding
            continue
        if not line:
            return
        lines.put(line)
