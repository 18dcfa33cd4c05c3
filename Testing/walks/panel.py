"""Walks the tasks of `STEPS` in the panel, in 3D Slicer's own application:

    make walks SLICER=/path/to/Slicer [ARGS="[--out docs/walks] [TASK ...]"]

It drops files on the panel, clicks its widgets and drags in its views, and ends Slicer with 1 where
something is not as it should be. Files come from the module's sample, whose CT is downloaded once,
and the wrist of the shared data, without which that task is left out.
"""

import argparse
import json
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import qt
import slicer

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "slicer_tests")]
import material  # noqa: E402
import panel_walk  # noqa: E402
import walk as hands  # noqa: E402
from counted_walk import Walk, write_page  # noqa: E402

from MultiViewRegistrationLib.mrml import ct_3d as scene_bones  # noqa: E402
from MultiViewRegistrationLib.mrml import slice_view  # noqa: E402
from MultiViewRegistrationLib.panel import packages  # noqa: E402

WINDOW = 1580, 960
HEARTBEAT_MS = 5
#: At most, for the first task, and for bones.
MAX_CLICKS, MAX_BONE_CLICKS = 6, 8


class PanelWalk(Walk):
    """A walk in the module's panel.   by.

    The `panel_walk.Walk` that clicks, waits, and finds faults.
    """

    def __init__(self, task, folder, by):
        self.by = by
        super().__init__(task, "panel", folder, picture)
        self.standstill = 0.0
        self._stood = time.thread_time()
        self._heart = qt.QTimer()
        self._heart.setInterval(HEARTBEAT_MS)
        self._heart.connect("timeout()", self._beat)
        self._heart.start()

    def _beat(self):
        """Between two beats the window answers nobody."""
        now = time.thread_time()
        self.standstill = max(self.standstill, now - self._stood)
        self._stood = now

    @property
    def panel(self):
        return self.by.panel

    def click(self, widget):
        """A button that is seen."""
        self.act()
        self.by.click(widget)

    def press(self, section, key):
        """A button of a section that is unfolded, or of the answer."""
        self.click(self.by.form(section).drawn[key].widget)

    def unfold(self, section):
        """A section by its header."""
        self.act()
        self.panel.sections[section].button.collapsed = False
        self.by.process(0.2)

    def pick(self, section, key, text):
        """A row of a table by what its first cell says."""
        self.act()
        table = self.by.form(section).drawn[key].widget
        row = next(row for row in range(table.rowCount) if table.item(row, 0).text() == text)
        table.scrollToItem(table.item(row, 0))
        middle = qt.QPointF(table.visualItemRect(table.item(row, 0)).center())
        for kind, held in (
            (qt.QEvent.MouseButtonPress, qt.Qt.LeftButton),
            (qt.QEvent.MouseButtonRelease, qt.Qt.NoButton),
        ):
            event = qt.QMouseEvent(kind, middle, qt.Qt.LeftButton, held, qt.Qt.NoModifier)
            slicer.app.sendEvent(table.viewport(), event)
        self.by.process(0.2)

    def drop(self, *paths):
        """Drop files and folders on the panel, as a file manager does."""
        mime, widget = qt.QMimeData(), self.panel.widget
        mime.setUrls([qt.QUrl.fromLocalFile(str(path)) for path in paths])
        rest = qt.Qt.CopyAction, mime, qt.Qt.LeftButton, qt.Qt.NoModifier
        place = widget.width // 2, widget.height // 2
        for event in (
            qt.QDragEnterEvent(qt.QPoint(*place), *rest),
            qt.QDropEvent(qt.QPointF(*place), *rest),
        ):
            event.ignore()
            slicer.app.sendEvent(widget, event)
            assert event.isAccepted(), "the panel does not take files"
        self.act()
        self.by.process(0.05)

    def wait_verdict(self):
        """Until the bar has a verdict; what it says."""
        chip = self.panel.ui.answerChip

        def told():
            return any(word in chip.text for word in ("ACCEPT", "CHECK", "REJECT"))

        self.by.wait(lambda: self.panel.registration is not None and told(), "a verdict")
        return self.bar()

    def bar(self):
        """What the bar says."""
        ui = self.panel.ui
        return f"{ui.answerChip.text} {ui.answerHeadline.text}"

    def step(self, text):
        """As `Walk.step`, once the views are drawn sharply."""
        began = time.monotonic()
        self.by.process(1.0)
        session = self.panel.session
        if (
            session is not None
            and session.running_registration is None
            and session.registration.ct is not None
        ):
            self.by.wait(lambda: session.drawing.sharp or not self.shown(), "sharp overlays", 60)
        self.by.process(0.5)
        self._away += time.monotonic() - began
        super().step(text)
        self._stood = time.thread_time()
        if self.shown():
            for view in self.panel.registration.xrays:
                assert slice_view.is_on_plane(view), f"{view.name} is not to be seen in its pane"

    def shown(self):
        """Whether the X-rays are seen."""
        return bool(self.panel.ui.layoutButton.checked)

    def end(self):
        """Standstill: the longest, processor time of the main thread, s."""
        self._heart.stop()
        super().end()
        told = {"clicks": self.clicks, "seconds": round(self.seconds, 1)}
        told["standstill"] = round(self.standstill, 2)
        print(json.dumps({self.task: told}), flush=True)


def picture():
    """A PNG of Slicer's window with the dialogs over it, as they are on the screen."""
    slicer.util.forceRenderAllViews()
    slicer.app.processEvents()
    window = slicer.util.mainWindow()
    corner = window.mapToGlobal(qt.QPoint(0, 0))
    screen = (
        window.windowHandle()
        .screen()
        .grabWindow(0, corner.x(), corner.y(), window.width, window.height)
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "window.png")
        screen.save(str(path))
        return path.read_bytes()


# The tasks
# -----------------------------------------------------------------------------------------------------------------


def own(walk, files):
    """Own CT and two DICOM X-rays to an exported transform."""
    walk.step("The empty panel says what to do.")
    walk.drop(files / "CT", files / "AP.dcm", files / "lateral.dcm")
    text = walk.wait_verdict()
    walk.step(
        "CT and X-rays dropped on the panel: told apart, centred, registered and judged without a "
        "further click."
    )
    assert "CHECK" in text and "mm" in text, text  # a C-arm's readings alone are never accepted
    export(walk, files)
    error = material.error_mm(files / "out" / "world_from_ct.tfm")
    assert error < 5, error
    assert walk.clicks <= MAX_CLICKS, walk.clicks


def export(walk, files):
    """Into a folder "out" beside the files."""
    (files / "out").mkdir()
    hands.when_asked(partial(hands.fill_in, files / "out"))
    walk.act(2)  # the folder, and Choose
    walk.press("answer", "registration")
    walk.by.wait_for_work("the export")
    walk.by.wait(
        lambda: (files / "out" / "world_from_ct.tfm").is_file(), "the exported transform", 20
    )
    walk.step("Exported into a folder: the transform, the result and the report.")


def bones(walk, files):
    """Radius and ulna of a wrist, a CT each, to a transform for each."""
    walk.drop(files)
    text = walk.wait_verdict()
    outlined = walk.panel.session.bones
    walk.by.wait(lambda: outlined.outlined == ("radius", "ulna"), "both outlines", 60)
    walk.step("The folder of the case dropped on the panel: both bones are found and outlined.")
    assert "CHECK" in text, text
    walk.unfold("check")
    walk.pick("check", "bones", "ulna")
    walk.by.wait(lambda: walk.by.text("check", "motion_now"), "the six numbers", 60)
    walk.step("A click on its row: the ulna in all views, and how it lies to the radius.")
    assert scene_bones.shown_ct(walk.panel.registration).GetName() == "ulna"
    export(walk, files)
    shifts = material.wrist_shifts_mm(files / "out")
    assert max(shifts.values()) < 20, shifts  # they may turn about themselves
    assert walk.clicks <= MAX_BONE_CLICKS, walk.clicks


def spine(walk, files):
    """Five vertebrae of a bent spine, each to its own transform."""
    walk.drop(files / "CT", files / "AP.dcm", files / "lateral.dcm")
    walk.wait_verdict()
    walk.step("CT and X-rays dropped on the panel: the whole CT is registered first.")
    walk.drop(files / "spine.seg.nrrd")
    walk.by.wait(lambda: "worst bone vertebrae_T" in walk.bar(), "each vertebra", 600)
    walk.step("The segmentation dropped: each vertebra is found, and outlined in its colour.")
    walk.unfold("check")
    walk.step("A row for each: its verdict, likely error and motion.")
    export(walk, files)
    errors = material.spine_errors_mm(files / "out")
    assert len(errors) >= 4 and max(errors.values()) < 2, errors


STEPS = {step.__name__: step for step in (own, bones, spine)}


def go(options):
    slicer.app.setAttribute(
        qt.Qt.AA_DontUseNativeDialogs, True
    )  # which nobody could fill in from here
    slicer.util.mainWindow().resize(*WINDOW)
    slicer.util.mainWindow().move(0, 0)
    slicer.util.setDataProbeVisible(False)  # the panel has its room
    by = panel_walk.Walk(panel_walk.open_panel(), print)
    requirements = by.panel.resource_path("requirements.txt")
    if options.install and packages.missing_message(requirements):
        hands.when_asked(hands.agree)
        packages.ensure(requirements)
    for task in options.tasks or STEPS:
        if task in material.OF_THE_WRIST and not material.WRIST.is_dir():
            print(f"{task}: left out, the shared data are not there")
            continue
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            slicer.mrmlScene.Clear()
            for section in by.panel.sections.values():
                section.button.collapsed = True
            by.process(1.0)
            files = Path(folder) / task
            material.MATERIAL[task](files)
            walk = PanelWalk(task, options.out, by)
            STEPS[task](walk, files)
            walk.end()
        slicer.mrmlScene.Clear()
    write_page(options.out)


def main():
    """The exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "tasks", nargs="*", metavar="TASK", help=f"of {', '.join(STEPS)}; all by default"
    )
    parser.add_argument("--out", type=Path, default=material.ROOT / "docs" / "walks")
    parser.add_argument("--install", action="store_true", help="agree to what the module installs")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    failure = hands.failure_of(go, options)
    print(failure or "All of it is as it should be.", flush=True)
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
