"""Walks the tasks of `STEPS` in the panel, in 3D Slicer's own application:

    make walks SLICER=/path/to/Slicer [ARGS="[--out docs/walks] [TASK ...]"]

It drops files on the panel, clicks its widgets and drags in its views, and ends Slicer with 1 where
something is not as it should be. Files come from the module's sample, whose CT is downloaded once,
and the wrist of the shared data, without which its tasks are left out.
"""

import argparse
import json
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import qt
import slicer

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "slicer_tests")]
import material  # noqa: E402
import panel_walk  # noqa: E402
import walk as hands  # noqa: E402
from counted_walk import Walk, write_page  # noqa: E402

from MultiViewRegistrationLib.mrml import ct_3d as scene_bones  # noqa: E402
from MultiViewRegistrationLib.mrml import overlay, slice_view  # noqa: E402
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

    def toggle(self, section, key):
        """A group of a section, or of the answer, by its title."""
        self.act()
        group = self.by.form(section).drawn[key].widget
        group.collapsed = not group.collapsed
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

    def write_into(self, folder, section, key):
        """A button that asks for a folder, and this one in its dialog."""
        folder.mkdir()
        hands.when_asked(partial(hands.fill_in, folder))
        self.act(2)  # the folder, and Choose
        self.press(section, key)
        self.by.wait_for_work("the export")

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
        return " ".join([ui.answerChip.text, ui.answerHeadline.text, *self.views()])

    def views(self):
        """The X-rays in the bar, with a sign each."""
        label = self.panel.ui.answerViews
        return label.text.split("    ") if label.visible else []

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
    walk.write_into(files / "out", "answer", "registration")
    walk.by.wait(
        lambda: (files / "out" / "world_from_ct.tfm").is_file(), "the exported transform", 20
    )
    walk.step("Exported into a folder: the transform, the result and the report.")


def wrist(walk, files):
    """One bone of a wrist, real radiographs."""
    walk.drop(files)
    text = walk.wait_verdict()
    walk.step(
        "The folder of the case dropped on the panel: the radius is found; the bar says what is to "
        "be checked."
    )
    assert "CHECK" in text, text
    walk.toggle("answer", "why")
    walk.step("Why: one structure alone, and X-rays that disagree by more than noise.")
    walk.toggle("answer", "why")
    walk.unfold("check")
    walk.act(2)  # the list, and the overlay
    walk.by.choose(walk.by.form("check").drawn["overlay"].widget, overlay.MODES.index("edges"))
    walk.step("As the sentence asks: the edges of the radius lie on those in both X-rays.")
    export(walk, files)


def mirrored(walk, files):
    """A mirrored X-ray found and mended."""
    walk.drop(files)
    text = walk.wait_verdict()
    walk.step("Rejected, the cause first: left and right of AP seem to be exchanged.")
    assert "REJECT" in text and "Left and right of AP" in text, text
    walk.press("answer", "geometry")
    form = walk.panel.geometry.form
    side = form.drawn[f"{walk.panel.registration.xrays[0].node.GetID()}.mirrored"].widget
    walk.by.process(0.5)
    walk.step('"Check the geometry" opens the table with the X-ray that is to blame.')
    walk.act(2)  # the list, and the answer
    assert side.currentText == "yes", side.currentText
    walk.by.choose(side, side.findText("no"))
    walk.step('"Is the patient\'s right on the left of the image?" answered the other way.')
    walk.click(form.drawn["close"].widget)
    walk.step("Done: what was said before holds no more.")
    assert "NOT ASSESSED" in walk.bar(), walk.bar()
    walk.press("answer", "register")
    text = walk.wait_verdict()
    walk.step("Registered again: accepted.")
    assert "ACCEPT" in text, text


def undo(walk, files):
    """Undo after a bad drag."""
    walk.drop(files)
    text = walk.wait_verdict()
    walk.step("Registered, and accepted.")
    assert "ACCEPT" in text, text
    found = walk.panel.registration.world_from_ct
    walk.unfold("start")
    walk.toggle("start", "more")
    walk.click(walk.by.form("start").drawn["other_start"].button("by hand"))
    walk.press("start", "move")
    walk.by.process(0.5)
    walk.step("Move the CT: by handles in the 3D view, by the mouse in the X-rays.")
    view = hands.pane(walk, 1)
    middle = view.width // 2, view.height // 2
    walk.act()
    hands.mouse(
        walk.by, view, [middle, *((middle[0] + 8 * n, middle[1] + 3 * n) for n in range(1, 8))]
    )
    walk.by.wait(lambda: "NOT ASSESSED" in walk.panel.ui.answerChip.text, "the verdict is gone", 10)
    walk.step("A bad drag in the AP X-ray: the verdict is gone at once.")
    walk.press("answer", "undo")
    text = walk.wait_verdict()
    walk.step("Undo: the CT is back where it was found, and so is the verdict.")
    assert "ACCEPT" in text, text
    assert np.allclose(walk.panel.registration.world_from_ct, found, atol=1e-9), (
        "the CT is not back"
    )


def reopen(walk, files):
    """Yesterday's work opened again."""
    walk.drop(files)
    text = walk.wait_verdict()
    found = walk.panel.registration.world_from_ct
    walk.step("Registered, and accepted.")
    save(walk, files)
    slicer.mrmlScene.Clear()
    walk.by.process(0.5)
    walk.step("The next day.")
    scene = next(files.glob("*.mrb"))
    walk.drop(scene)
    assert walk.wait_verdict() == text, walk.bar()
    walk.step("The saved scene dropped on the panel: pose and verdict are there.")
    assert np.allclose(walk.panel.registration.world_from_ct, found, atol=1e-6), (
        "the CT lies elsewhere"
    )


def save(walk, folder):
    """Slicer's own Save: as a bundle, in this folder."""
    slicer.mrmlScene.SetRootDirectory(str(folder))
    window = slicer.util.mainWindow()
    button = next(
        each for each in window.findChildren(qt.QAction) if each.name == "FileSaveSceneAction"
    )
    pictured = []

    def fill_in(dialog):
        bundle = slicer.util.findChildren(dialog, name="DataBundleButton")
        if not bundle:
            return False
        bundle[0].click()
        slicer.util.findChild(dialog, "ButtonBox").button(qt.QDialogButtonBox.Save).click()
        pictured.append(True)
        return True

    hands.when_asked(fill_in)
    walk.act(3)  # Save, bundle, Save
    button.trigger()
    walk.by.wait(lambda: pictured and any(folder.glob("*.mrb")), "the saved scene", 60)
    walk.step("Saved by Slicer's own Save, as a bundle.")


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


def sequence(walk, files):
    """Radius and ulna of a wrist through a sequence, and how one moves against the other."""
    walk.drop(files)
    walk.wait_verdict()
    walk.step("The folder of the case dropped on the panel: the first frame is registered.")
    walk.unfold("sequence")
    walk.step("The step Sequence: the X-rays have three frames.")
    tracked = walk.panel.session.sequence
    walk.press("sequence", "track")
    walk.by.wait(lambda: tracked.ended, "all frames", 600)
    walk.by.wait(lambda: walk.by.text("sequence", "motion_title"), "the motion", 60)
    walk.step("Tracked: both bones in each frame, and how one turns against the other.")
    assert tracked.ended == "done" and tracked.player.last == 2, tracked.message
    title = walk.by.text("sequence", "motion_title")
    assert title.startswith("ulna against radius, since frame 0"), title
    walk.press("sequence", "first")
    walk.by.wait(lambda: tracked.player.number == 0, "the first frame", 60)
    walk.step("The first frame again: the cursor in the curves goes along.")
    walk.toggle("sequence", "export")
    walk.write_into(files / "out", "sequence", "poses")
    walk.step("Exported: poses of each bone, and their motion.")
    names = {path.name for path in (files / "out").iterdir()}
    assert {"motion.csv", "radius_poses.csv", "ulna_poses.csv"} <= names, names


def spine(walk, files):
    """Five vertebrae of a bent spine, each to its own transform."""
    walk.drop(files / "CT", files / "AP.dcm", files / "lateral.dcm")
    walk.wait_verdict()
    walk.step("CT and X-rays dropped on the panel: the whole CT is registered first.")
    walk.drop(files / "spine.seg.nrrd")
    walk.by.wait(lambda: "worst bone vertebrae_T" in walk.bar(), "each vertebra", 600)
    walk.step("The segmentation dropped: each vertebra is found, and outlined in its colour.")
    walk.unfold("check")
    walk.step("A row for each: its verdict, expected error and motion.")
    export(walk, files)
    errors = material.spine_errors_mm(files / "out")
    assert len(errors) >= 4 and max(errors.values()) < 2, errors


STEPS = {
    step.__name__: step for step in (own, wrist, mirrored, undo, reopen, bones, sequence, spine)
}


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
