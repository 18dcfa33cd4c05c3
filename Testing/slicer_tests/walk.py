"""Walks the panel in Slicer itself, by its own widgets, from an empty scene to an exported transform, and takes the tutorial's pictures:

    make pictures SLICER=/path/to/Slicer [ARGS="[--out FOLDER] [--case CASE.json] [--install]"]

It says what it checked, and writes that and a picture of the window after every step into FOLDER
(walk-pictures). It ends Slicer with 0. An exception in any slot, observer or thread, also one that
Slicer only prints, and anything that is not as it should be, ends it with 1. What single controls do
is in Testing/panel, whose tests run in Slicer, too (run.py).

It takes the module's own sample, whose CT is downloaded once.
--install: agree where the module asks for a Python package; without it that is a failure.
--pictures: those of docs/slicer and Resources/Screenshots are written anew.
"""

import argparse
import os
import sys
import tempfile
import time
import traceback
from functools import partial
from pathlib import Path

import qt
import slicer
import vtk

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).parent))
WINDOW = (1580, 960)
RECORD = "walk.txt"
#: Of the pictures: JPEG's quality, how many side by side, pixels between them, width of the window's.
QUALITY = 85
COLUMNS = 2
GAP_PX = 6
WINDOW_PX = 1200
#: Two pedicle screws in T8 of the sample, LPS mm of the CT: tip and head.
SCREWS = (((6, 70, -158), (20, 106, -156)), ((-5, 70, -158), (-19, 106, -156)))
#: As Sample Data calls the sample and its CT.
SAMPLE, SAMPLE_CT = "MultiViewRegistrationChest", "chest"
#: Height of the picture of the 3D view, in widths.
SCENE_HEIGHT = 0.75
SCREW_RADIUS_MM = 3.0


class Printed:
    """What Slicer, Qt and VTK print on the process's standard error, where exceptions end that no hook of Python hears of."""

    def __init__(self):
        self._file = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 (it lasts as long as this)
        self._before = os.dup(2)
        os.dup2(self._file.fileno(), 2)

    def end(self):
        """All of it, which is printed now."""
        os.dup2(self._before, 2)
        self._file.seek(0)
        text = self._file.read()
        print(text, file=sys.__stderr__)
        return text


def failure_of(task, options):
    """What goes wrong in task(options): an exception, or a traceback that was printed.

    "" for nothing.
    """
    printed, failure = Printed(), ""
    try:
        task(options)
    except BaseException:
        failure = traceback.format_exc()
    if "Traceback (most recent call last)" in printed.end() and not failure:
        failure = "A traceback was printed; see above."
    return failure


def main():
    """The exit status."""
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / RECORD).unlink(missing_ok=True)
    began = time.monotonic()
    failure = failure_of(go, options)
    say(
        failure
        or f"All of it is as it should be, in {time.monotonic() - began:.0f} s. Pictures: {options.out}",
        options.out / RECORD,
    )
    return 1 if failure else 0


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("walk-pictures"))
    parser.add_argument("--install", action="store_true")
    parser.add_argument("--pictures", action="store_true")
    return parser.parse_args()


def go(options):
    import panel_walk

    slicer.app.setAttribute(
        qt.Qt.AA_DontUseNativeDialogs, True
    )  # which nobody could fill in from here
    number = iter(range(1, 100))
    slicer.util.mainWindow().resize(*WINDOW)
    slicer.util.setDataProbeVisible(False)  # the panel has its room
    walk = panel_walk.Walk(
        panel_walk.open_panel(),
        partial(say, file=options.out / RECORD),
        lambda name: picture(options.out / f"{next(number):02} {name}.png"),
    )
    walk.options = options
    slicer.mrmlScene.Clear()
    walk.run(
        loads_a_case,
        asks_for_packages,
        panel_walk.is_told_the_answer,
        panel_walk.shows_each_xray_in_its_own_pane,
        shows_both_colours_before,
        panel_walk.registers_by_search,
        shows_both_colours_after,
        shows_overlays,
        shows_every_section,
        puts_the_cursor,
        plans_two_screws,
        panel_walk.exports_the_transform,
    )


def say(line, file):
    """On standard output, through Slicer's console, which cuts lines with letters beyond ASCII.

    Whole in the file.
    """
    print(line.encode("ascii", "replace").decode(), flush=True)
    with file.open("a", encoding="utf-8") as record:
        record.write(f"{line}\n")


def shot(widget=None):
    """A QPixmap of a widget of the window, or of all of it, as it is on the screen."""
    slicer.util.forceRenderAllViews()
    slicer.app.processEvents()
    window = slicer.util.mainWindow()
    whole = window.windowHandle().screen().grabWindow(window.winId())
    if widget is None:
        return whole
    corner = widget.mapTo(window, qt.QPoint(0, 0))
    return whole.copy(corner.x(), corner.y(), widget.width, widget.height)


def picture(path):
    shot().save(str(path))


def publish(walk, path, *shots):
    """Write pictures, side by side where there are several, into the project, where that is wanted."""
    width, height = shots[0].width() + GAP_PX, shots[0].height() + GAP_PX
    rows = -(-len(shots) // COLUMNS)
    page = qt.QPixmap(min(len(shots), COLUMNS) * width - GAP_PX, rows * height - GAP_PX)
    page.fill(qt.QColor("white"))
    painter = qt.QPainter(page)
    for n, each in enumerate(shots):
        painter.drawPixmap(n % COLUMNS * width, n // COLUMNS * height, each)
    painter.end()
    folder = ROOT if walk.options.pictures else walk.options.out
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    page.save(str(folder / path), "PNG" if path.endswith("png") else "JPG", QUALITY)


def panes(walk, mode):
    """Of all X-rays, with an overlay."""
    from MultiViewRegistrationLib.mrml import overlay

    walk.choose(walk.drawn("check", "overlay").widget, overlay.MODES.index(mode))
    walk.process(1.0)  # it is no longer sharp by then
    walk.wait(lambda: walk.panel.session.drawing.sharp, "the overlay is sharp", 60)
    return [shot(pane(walk, n + 1)) for n in range(len(walk.registration.xrays))]


def when_asked(answer):
    """Have the next dialog answered once it is up: `answer(dialog)` is tried until it is true."""

    def try_it():
        dialog = slicer.app.activeModalWidget()
        if dialog is None or not answer(dialog):
            qt.QTimer.singleShot(100, try_it)

    qt.QTimer.singleShot(100, try_it)


def fill_in(path, dialog):
    """Choose a file in Qt's file dialog."""
    if not dialog.inherits("QFileDialog"):
        return False
    name = slicer.util.findChild(dialog, "fileNameEdit")
    name.setText(str(path))
    dialog.accept()
    return True


def agree(dialog):
    if not dialog.inherits("QMessageBox"):
        return False
    (dialog.defaultButton() or dialog.button(qt.QMessageBox.Ok)).click()
    return True


# Steps
# ---------------------------------------------------------------------------------------------------------------------


def loads_a_case(walk):
    from MultiViewRegistrationLib.io.datasets.chest import demo_case

    when_asked(partial(fill_in, demo_case().resolve()))
    walk.click(walk.panel.ui.loadCaseButton)
    walk.wait(lambda: walk.registration is not None, "the case is loaded", 60)
    walk.check(
        walk.panel.ui.registrationSelector.currentNode() is walk.registration.node,
        "the selector shows the registration",
    )
    walk.check(
        walk.registration.ct is not None and walk.registration.xrays,
        "the CT and the X-rays are there",
    )
    walk.registration.node.SetName(SAMPLE)
    walk.registration.ct.SetName(SAMPLE_CT)
    for name in ("ct", "xrays", "start"):
        walk.unfold(name)
        walk.check("\u26a0" not in walk.header(name), walk.header(name))


def asks_for_packages(walk):
    from importlib.util import find_spec

    if find_spec("numba") is not None:
        walk.check(True, "numba is installed")
        return
    if not walk.options.install:
        raise AssertionError("numba is not installed, and --install was not given")
    button = walk.drawn("ct", "install").widget
    walk.wait(lambda: button.visible, "the CT's section offers to install it")
    when_asked(agree)
    walk.click(button)
    walk.wait(lambda: find_spec("numba") is not None, "numba is installed", 600)


def pane(walk, number):
    """The slice view of an X-ray, counted from 1."""
    return slicer.app.layoutManager().sliceWidget(f"XRay{number}").sliceView()


def mouse(walk, view, points):
    """Press the left button at the first of these points of a slice view (pixels from its lower left), move to the others, release."""
    interactor = view.interactor()
    for event, (x, y) in [
        ("MouseMoveEvent", points[0]),
        ("LeftButtonPressEvent", points[0]),
        *(("MouseMoveEvent", p) for p in points[1:]),
        ("LeftButtonReleaseEvent", points[-1]),
    ]:
        interactor.SetEventInformation(x, y, 0, 0, "\0", 0, "")
        interactor.InvokeEvent(event)
        walk.process(0.05)


def shows_both_colours_before(walk):
    walk.before = panes(walk, "colours")


def shows_both_colours_after(walk):
    pairs = zip(walk.before, panes(walk, "colours"))
    publish(walk, "docs/slicer/before_after.jpg", *(each for pair in pairs for each in pair))


def shows_overlays(walk):
    modes = ("blend", "edges", "checkerboard", "difference")
    publish(walk, "docs/slicer/overlays.jpg", *(panes(walk, mode)[0] for mode in modes))
    panes(walk, "edges")
    publish(
        walk,
        "Resources/Screenshots/slicer.png",
        shot().scaledToWidth(WINDOW_PX, qt.Qt.SmoothTransformation),
    )
    view = slicer.app.layoutManager().threeDWidget(0).threeDView()
    height = int(SCENE_HEIGHT * view.width)
    scene = shot(view).copy(0, (view.height - height) // 2, view.width, height)
    publish(walk, "docs/slicer/scene.jpg", scene)


def shows_every_section(walk):
    """Each by itself, as the tutorial has them."""
    for name, section in walk.panel.sections.items():
        walk.unfold(name)
        walk.process(0.3)
        if name != "sequence":  # the sample has none
            publish(walk, f"docs/slicer/{name}.png", section.button.grab())


def puts_the_cursor(walk):
    """A point in one X-ray, its line in the other; there a click finds it."""
    panes(walk, "blend")
    shots = []
    walk.press("check", "place_cursor")
    for number in (1, 2):
        view = pane(walk, number)
        mouse(walk, view, [(2 * view.width // 5, view.height // 2)])
        walk.process(0.5)
        shots += [shot(pane(walk, n)) for n in (1, 2)]
    walk.check(walk.text("check", "cursor"), walk.text("check", "cursor"))
    publish(walk, "docs/slicer/cursor.jpg", *shots)
    walk.press("check", "clear_cursor")


def plans_two_screws(walk):
    """Under the CT's transform; they are drawn on the X-rays, and follow the CT."""
    for tip, head in SCREWS:
        line, tube = vtk.vtkLineSource(), vtk.vtkTubeFilter()
        line.SetPoint1(-tip[0], -tip[1], tip[2])
        line.SetPoint2(-head[0], -head[1], head[2])
        tube.SetInputConnection(line.GetOutputPort())
        tube.SetRadius(SCREW_RADIUS_MM)
        tube.SetNumberOfSides(24)
        tube.CappingOn()
        tube.Update()
        model = slicer.modules.models.logic().AddModel(tube.GetOutput())
        model.SetName("screw")
        model.GetDisplayNode().SetColor(0.3, 1.0, 0.4)
        model.SetAndObserveTransformNodeID(walk.registration.ct_transform.GetID())
    walk.process(1.0)
    publish(walk, "docs/slicer/screws.jpg", *(shot(pane(walk, n)) for n in (1, 2)))
    for model in slicer.util.getNodes("screw*").values():
        slicer.mrmlScene.RemoveNode(model)


if __name__ == "__main__":
    sys.exit(main())
