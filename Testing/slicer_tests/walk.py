"""Walks the panel in Slicer itself, by its own widgets, from an empty scene to an exported transform and beyond:

    Slicer --no-splash --additional-module-paths MultiViewRegistration --python-script
    Testing/slicer_tests/walk.py [--out FOLDER]
        [--case CASE.json] [--other OTHER.json] [--install]

It says what it checked, and writes that and a picture of the window after every step into FOLDER
(walk-pictures). It ends Slicer with 0. An exception in any slot, observer or thread, also one that
Slicer only prints, and anything that is not as it should be, ends it with 1.

CASE: with its truth, if it has one; by default the module's own sample, whose CT is downloaded once.   OTHER: of another patient, with
which the views must not mix; by default the walk leaves that step out.   --install: agree where the module asks for a Python package;
without it that is a failure.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import traceback
from functools import partial
from pathlib import Path

import numpy as np
import qt
import slicer

WINDOW, NARROW_WINDOW = (1580, 960), (1280, 800)
RECORD = "walk.txt"


class Printed:
    """What Slicer, Qt and VTK print on the process's standard error, where exceptions end that no hook of Python hears of."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 (it lasts as long as this)
        self._before = os.dup(2)
        os.dup2(self._file.fileno(), 2)

    def end(self) -> str:
        """All of it, which is printed now."""
        os.dup2(self._before, 2)
        self._file.seek(0)
        text = self._file.read()
        print(text, file=sys.__stderr__)
        return text


def failure_of(task, options) -> str:
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


def main() -> int:
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


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", type=Path)
    parser.add_argument("--other", type=Path)
    parser.add_argument("--out", type=Path, default=Path("walk-pictures"))
    parser.add_argument("--install", action="store_true")
    return parser.parse_args()


def go(options: argparse.Namespace) -> None:
    from MultiViewRegistrationLib.panel import self_test

    slicer.app.setAttribute(
        qt.Qt.AA_DontUseNativeDialogs, True
    )  # which nobody could fill in from here
    number = iter(range(1, 100))
    slicer.util.mainWindow().resize(*WINDOW)
    slicer.util.setDataProbeVisible(False)  # the panel has its room
    walk = self_test.Walk(
        self_test.open_panel(),
        partial(say, file=options.out / RECORD),
        lambda name: picture(options.out / f"{next(number):02} {name}.png"),
    )
    walk.options = options
    slicer.mrmlScene.Clear()
    walk.run(
        begins_with_an_empty_scene,
        shows_a_ct_alone,
        loads_a_case,
        deletes_and_brings_back,
        asks_for_packages,
        self_test.is_told_the_answer,
        self_test.shows_each_xray_in_its_own_pane,
        adds_slices_of_the_ct,
        types_numbers,
        self_test.registers_by_search,
        shows_every_section,
        self_test.lays_each_overlay_over_the_xrays,
        self_test.goes_back_and_forth,
        moves_the_ct_by_mouse,
        looks_along_a_beam,
        pastes_a_matrix,
        puts_the_cursor,
        draws_a_mask,
        takes_a_dark_theme,
        opens_another_patient,
        registers_again,
        draws_a_segment_on_the_placed_ct,
        shows_the_ct_everywhere,
        takes_the_ct_elsewhere,
        hardens_the_transform,
        self_test.exports_the_transform,
        saves_and_reopens_the_scene,
        reloads_the_module,
        self_test.shows_each_xray_in_its_own_pane,
    )


def say(line: str, file: Path) -> None:
    """On standard output, through Slicer's console, which cuts lines with letters beyond ASCII.

    Whole in the file.
    """
    print(line.encode("ascii", "replace").decode(), flush=True)
    with file.open("a", encoding="utf-8") as record:
        record.write(f"{line}\n")


def picture(path: Path) -> None:
    """Of the window as it is on the screen."""
    slicer.util.forceRenderAllViews()
    slicer.app.processEvents()
    window = slicer.util.mainWindow()
    window.grab().save(
        str(path)
    ) if slicer.app.platformName == "offscreen" else window.windowHandle().screen().grabWindow(
        window.winId()
    ).save(str(path))


def when_asked(answer) -> None:
    """Have the next dialog answered once it is up: `answer(dialog)` is tried until it is true."""

    def try_it() -> None:
        dialog = slicer.app.activeModalWidget()
        if dialog is None or not answer(dialog):
            qt.QTimer.singleShot(100, try_it)

    qt.QTimer.singleShot(100, try_it)


def fill_in(path: Path, dialog) -> bool:
    """Choose a file in Qt's file dialog."""
    if not dialog.inherits("QFileDialog"):
        return False
    name = slicer.util.findChild(dialog, "fileNameEdit")
    name.setText(str(path))
    dialog.accept()
    return True


def refuse(dialog) -> bool:
    if not dialog.inherits("QMessageBox"):
        return False
    dialog.reject()
    return True


def agree(dialog) -> bool:
    if not dialog.inherits("QMessageBox"):
        return False
    dialog.defaultButton().click() if dialog.defaultButton() is not None else dialog.button(
        qt.QMessageBox.Ok
    ).click()
    return True


# Steps
# ---------------------------------------------------------------------------------------------------------------------


def begins_with_an_empty_scene(walk) -> None:
    walk.check(walk.registration is None, "no registration is at work")
    for name in walk.panel.sections:
        walk.unfold(name)
    walk.check(
        walk.panel.sections["register"].form.controls.get("register") is None,
        "there is nothing to register",
    )


def case_path(walk) -> Path:
    """Of the case to walk with; of the sample, whose CT is there then."""
    if walk.options.case is None:
        from MultiViewRegistrationLib.io.datasets.chest import demo_case

        walk.options.case = demo_case()
    return walk.options.case


def shows_a_ct_alone(walk) -> None:
    """Before there is any X-ray."""
    path = case_path(walk)
    ct_path = path.parent / json.loads(path.read_text(encoding="utf-8"))["ct"]
    walk.panel.take_files([ct_path])
    walk.wait(
        lambda: walk.registration is not None and walk.registration.ct is not None,
        "the CT is read",
        60,
    )
    registration, manager = walk.registration, slicer.app.layoutManager()
    name = registration.ct.GetName()
    walk.check(
        registration.name == name != "Registration",
        f'the registration is called "{name}", as its CT',
    )
    if manager is not None:
        walk.wait(
            lambda: registration.node.GetNodeReference("bones") is not None,
            "the surface of its bone",
            60,
        )
        for slice_name in ("Red", "Green", "Yellow"):
            logic = manager.sliceWidget(slice_name).sliceLogic()
            shown = logic.GetSliceCompositeNode().GetBackgroundVolumeID()
            walk.check(shown == registration.ct.GetID(), f"{slice_name} shows the CT")
        bounds = registration.node.GetNodeReference("bones").GetPolyData().GetBounds()
        middle, extent = (
            np.mean(np.reshape(bounds, (3, 2)), axis=1),
            np.ptp(np.reshape(bounds, (3, 2)), axis=1).max(),
        )
        focus = np.array(manager.threeDWidget(0).threeDView().cameraNode().GetFocalPoint())
        walk.check(
            np.linalg.norm(focus - middle) < 0.3 * extent,
            "its bone is in the middle of the 3D view",
        )
        picture(walk.options.out / "ct alone.png")
    slicer.mrmlScene.Clear()
    walk.process(0.5)


def menu_of(selector) -> list[str]:
    """What a node selector lists, the actions below its nodes included."""
    box = slicer.util.findChildren(selector, className="QComboBox")[0]
    return [box.itemText(row) for row in range(box.count)]


def deletes_and_brings_back(walk) -> None:
    selector, registration = walk.panel.ui.registrationSelector, walk.registration
    listed = menu_of(selector)
    walk.check(
        not any("ScriptedModule" in text or "Delete current" in text for text in listed),
        f"listed are {listed}",
    )
    names, pose = [view.name for view in registration.xrays], registration.world_from_ct
    (action,) = (
        each for each in selector.findChildren(qt.QAction) if each.text.startswith("Delete")
    )
    walk.check(action.text in listed, "among them what deletes the registration, after a question")
    for answer in (refuse, agree):
        when_asked(answer)
        action.trigger()
        walk.process(0.5)
        walk.check(
            (walk.registration is None) == (answer is agree),
            f"{answer.__name__}: it is deleted, or stays",
        )
    walk.check("was deleted" in walk.panel.ui.deletedLabel.text, walk.panel.ui.deletedLabel.text)
    walk.click(walk.panel.ui.restoreButton)
    walk.process(1.0)
    walk.check(walk.registration == registration, "brought back")
    walk.check([view.name for view in registration.xrays] == names, "with its X-rays")
    walk.check(np.allclose(registration.world_from_ct, pose, atol=1e-9), "and where its CT lay")


def pastes_a_matrix(walk) -> None:
    """An X-ray that comes to lie elsewhere is shown whole, and the 3D view goes with it."""
    if slicer.app.layoutManager() is None:
        return
    from MultiViewRegistrationLib.mrml import slice_view
    from MultiViewRegistrationLib.mrml.layout import slice_of
    from MultiViewRegistrationLib.session.geometry import give_geometry

    view = walk.registration.xrays[0]
    before, node = view.record, slice_of(view)
    elsewhere = np.eye(4)
    elsewhere[0, 3] = 200.0
    camera = view.camera
    give_geometry(view, camera.intrinsics @ (camera.camera_from_world @ elsewhere)[:3])
    walk.process(1.0)
    fitted = slice_view.is_fitted(
        view, node.GetDimensions(), node.GetFieldOfView(), node.GetXYZOrigin()
    )
    walk.check(fitted and slice_view.is_on_plane(view), "its pane shows all of it")
    view.record = before
    view.place()
    walk.process(0.5)


def open_case(walk, path: Path) -> None:
    before = walk.registration
    when_asked(partial(fill_in, path.resolve()))
    walk.click(walk.panel.ui.loadCaseButton)
    walk.wait(
        lambda: walk.registration is not None and walk.registration != before,
        "the case is loaded",
        60,
    )


def loads_a_case(walk) -> None:
    open_case(walk, case_path(walk))
    walk.check(
        walk.panel.ui.registrationSelector.currentNode() is walk.registration.node,
        "the selector shows the registration",
    )
    walk.check(
        walk.registration.ct is not None and walk.registration.xrays,
        "the CT and the X-rays are there",
    )
    for name in ("ct", "xrays", "start"):
        walk.unfold(name)
        walk.check("\u26a0" not in walk.header(name), walk.header(name))


def asks_for_packages(walk) -> None:
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


def adds_slices_of_the_ct(walk) -> None:
    if slicer.app.layoutManager() is None:
        return
    window, red = (
        slicer.util.mainWindow(),
        slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode(),
    )
    for width, height in (NARROW_WINDOW, WINDOW):
        window.resize(width, height)
        walk.process(0.5)
        walk.click(walk.panel.ui.ctSlicesBox)
        walk.process(0.5)
        walk.check(
            red.GetBackgroundVolumeID() == walk.registration.ct.GetID(),
            "the red slice view shows the CT",
        )
        picture(walk.options.out / f"slices of the ct {width}.png")
        walk.check(window.width == width, f"the window is {width} pixels wide as before")
        walk.click(walk.panel.ui.ctSlicesBox)


def types_numbers(walk) -> None:
    walk.press("xrays", "geometry")
    form, xray = (
        walk.panel.geometry.form,
        walk.panel.sections["xrays"].presenter.selected.node.GetID(),
    )
    box = form.drawn[f"{xray}.mode"].widget
    before = box.currentIndex
    walk.choose(box, 0)
    pixel, angle = form.drawn[f"{xray}.pixel_mm"].edit, form.drawn[f"{xray}.rao_lao_deg"].edit
    for typed in ("0,58", "0.194"):
        type_into(walk, pixel, typed)
        walk.check(not pixel.accessibleDescription, f'"{typed}" is a pixel size')
    type_into(walk, angle, "500")
    walk.check("500" in angle.accessibleDescription, angle.accessibleDescription)
    picture(walk.options.out / "geometry.png")
    walk.click(form.drawn["put_back"].widget)
    walk.check(box.currentIndex == before, '"Put back" puts the geometry back')
    walk.click(form.drawn["close"].widget)


def type_into(walk, line, text: str) -> None:
    """Key by key, into a QLineEdit, and Enter."""
    line.setFocus()
    line.selectAll()
    for key in [*text, "\r"]:
        code = qt.Qt.Key_Return if key == "\r" else ord(key.upper())
        for kind in (qt.QEvent.KeyPress, qt.QEvent.KeyRelease):
            slicer.app.sendEvent(line, qt.QKeyEvent(kind, code, qt.Qt.NoModifier, key))
    walk.process(0.2)


def pane(walk, number: int):
    """The slice view of an X-ray, counted from 1."""
    return slicer.app.layoutManager().sliceWidget(f"XRay{number}").sliceView()


def mouse(walk, view, points: list[tuple[int, int]]) -> None:
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


def moves_the_ct_by_mouse(walk) -> None:
    if slicer.app.layoutManager() is None:
        return
    walk.drawn("start", "more").widget.collapsed = False
    walk.click(walk.drawn("start", "other_start").button("by hand"))
    move = walk.drawn("start", "move").widget
    walk.click(move)
    walk.process(0.5)
    before, view = walk.registration.world_from_ct, pane(walk, 1)
    middle = view.width // 2, view.height // 2
    mouse(walk, view, [middle, (middle[0] + 10, middle[1]), (middle[0] + 30, middle[1] + 10)])
    moved = np.linalg.norm(walk.registration.world_from_ct[:3, 3] - before[:3, 3])
    walk.check(0.1 < moved < 200, f"dragging in an X-ray moves the CT, by {moved:.1f} mm")
    walk.wait(lambda: walk.panel.session.drawing.at_rest, "the overlay rests", 20)
    press_escape(walk)
    walk.check(not move.checked, "Esc ends Move the CT")
    walk.press("answer", "undo")
    walk.check(
        np.allclose(walk.registration.world_from_ct, before, atol=1e-9), "Undo takes it back"
    )


def press_escape(walk) -> None:
    """By the shortcut itself: a key event that is sent, not typed, reaches no shortcut in Qt."""
    for shortcut in walk.widget.parent.findChildren(qt.QShortcut):
        if shortcut.enabled and shortcut.key.toString() == "Esc":
            shortcut.activated()
    walk.process(0.3)


def looks_along_a_beam(walk) -> None:
    if slicer.app.layoutManager() is None:
        return
    box = walk.drawn("check", "source").widget
    walk.choose(box, 1)
    walk.process(0.5)
    walk.check(box.currentIndex == 1, f"3D view from {box.currentText}")
    walk.choose(box, 0)


def puts_the_cursor(walk) -> None:
    if slicer.app.layoutManager() is None:
        return
    button = walk.drawn("check", "place_cursor").widget
    walk.click(button)
    view = pane(walk, 1)
    mouse(walk, view, [(view.width // 2, view.height // 2)])
    walk.wait(
        lambda: "another X-ray" in walk.text("check", "cursor"), "the cursor says where it is", 10
    )
    walk.check(True, walk.text("check", "cursor"))
    if button.checked:
        walk.click(button)
    walk.press("check", "clear_cursor")


def draws_a_mask(walk) -> None:
    if not hasattr(slicer.modules, "segmenteditor"):
        return
    walk.drawn("xrays", "image").widget.collapsed = False
    walk.press("xrays", "draw")
    walk.process(0.5)
    walk.check(
        slicer.util.selectedModule() == "SegmentEditor",
        "the Segment Editor opens on a mask of the X-ray",
    )
    slicer.util.selectModule("MultiViewRegistration")
    walk.process(0.5)
    views = walk.registration.xrays
    display = views[0].mask.GetDisplayNode()
    shows = [
        display.IsDisplayableInView(f"vtkMRMLSliceNodeXRay{number + 1}")
        for number in range(len(views))
    ]
    walk.check(
        shows == [True] + [False] * (len(views) - 1), "the mask is drawn in its own pane alone"
    )


def shows_no_slices_of_the_other(walk, first) -> None:
    """In Slicer's own layout, after slices of one patient's CT were shown and another patient is chosen; and back."""
    manager = slicer.app.layoutManager()
    if manager is None:
        return
    [other] = [each for each in type(first).all(slicer.mrmlScene) if each != first]
    if not walk.panel.ui.ctSlicesBox.checked:
        walk.click(walk.panel.ui.ctSlicesBox)
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    walk.process(0.5)
    for chosen in (other, first):
        walk.panel.ui.registrationSelector.setCurrentNode(chosen.node)
        walk.process(0.5)
        for name in ("Red", "Green", "Yellow"):
            shown = manager.sliceWidget(name).mrmlSliceCompositeNode().GetBackgroundVolumeID()
            walk.check(shown == chosen.ct.GetID(), f"{name} shows the CT of {chosen.name}")
    walk.click(walk.panel.ui.layoutButton)


MIN_BONE_HU = 300


def draws_a_segment_on_the_placed_ct(walk) -> None:
    """By Threshold of the Segment Editor, then chosen under Register.

    The voxels above the threshold, and no others.
    """
    if not hasattr(slicer.modules, "segmenteditor"):
        return
    registration, scene = walk.registration, slicer.mrmlScene
    ct, pose = registration.ct, registration.world_from_ct
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "walk bone")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(ct)
    segment = segmentation.GetSegmentation().AddEmptySegment("walk bone", "walk bone")
    slicer.util.selectModule("SegmentEditor")
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(ct)
    editor.mrmlSegmentEditorNode().SetSelectedSegmentID(segment)
    walk.process(0.5)
    shows_its_xrays(walk, "with the CT as source volume of the Segment Editor")
    editor.setActiveEffectByName("Threshold")
    effect = editor.activeEffect()
    effect.setParameter("MinimumThreshold", str(MIN_BONE_HU))
    effect.setParameter("MaximumThreshold", "10000")
    effect.self().onApply()
    editor.setActiveEffectByName("")
    bounds = bounds_of(segmentation)
    slicer.util.selectModule("MultiViewRegistration")
    walk.process(0.5)
    box = walk.drawn("ct", "structure").widget
    walk.choose(box, box.findText("walk bone"))
    walk.check(registration.segmentation is segmentation, "the segment is to be registered")
    walk.check(
        np.allclose(bounds_of(segmentation), bounds, atol=1e-3), "it stays where it was drawn"
    )
    selected = walk.panel.session.ct().mask
    walk.check(
        np.array_equal(selected, slicer.util.arrayFromVolume(ct) >= MIN_BONE_HU),
        f"it has its {selected.sum()} voxels",
    )
    walk.check(
        "ACCEPT" not in walk.panel.ui.answerChip.text, "the verdict on the whole CT holds no more"
    )
    registration.world_from_ct = np.linalg.inv(pose)
    walk.check(
        np.array_equal(walk.panel.session.ct().mask, selected), "the segment moves with the CT"
    )
    registration.world_from_ct = pose
    walk.choose(box, 0)
    scene.RemoveNode(segmentation)
    walk.wait(
        lambda: "ACCEPT" in walk.panel.ui.answerChip.text, "the whole CT has its verdict again", 10
    )


def bounds_of(node) -> np.ndarray:
    """In the world."""
    bounds = np.zeros(6)
    node.GetRASBounds(bounds)
    return bounds


def shows_its_xrays(walk, when: str) -> None:
    from MultiViewRegistrationLib.mrml.layout import composite_of

    for view in walk.registration.xrays if slicer.app.layoutManager() is not None else ():
        shown = composite_of(view).GetBackgroundVolumeID()
        walk.check(shown == view.id, f"the pane of {view.name} shows it {when}")


def shows_the_ct_everywhere(walk) -> None:
    slicer.util.setSliceViewerLayers(
        background=walk.registration.ct, foreground=walk.registration.ct
    )
    walk.process(0.5)
    shows_its_xrays(walk, "after setSliceViewerLayers")


def takes_the_ct_elsewhere(walk) -> None:
    """Another registration takes it, and a person takes it out of its transform."""
    registration, chip = walk.registration, walk.panel.ui.answerChip
    other = type(registration).create(slicer.mrmlScene, "Another")
    other.ct = registration.ct
    walk.process(0.5)
    walk.check("ACCEPT" in chip.text, "another registration has the CT, which lies where it did")
    pose = other.world_from_ct.copy()
    pose[0, 3] += 80
    other.world_from_ct = pose
    walk.wait(lambda: "ACCEPT" not in chip.text, "the verdict falls when that moves it", 10)
    slicer.mrmlScene.RemoveNode(other.node)
    walk.wait(lambda: "ACCEPT" in chip.text, "it holds again when the CT is back", 10)
    registration.ct.SetAndObserveTransformNodeID(None)
    walk.wait(
        lambda: "ACCEPT" not in chip.text, "it falls when the CT is taken out of its transform", 10
    )
    registration.ct.SetAndObserveTransformNodeID(registration.ct_transform.GetID())
    walk.wait(lambda: "ACCEPT" in chip.text, "it holds again when the CT is put back", 10)


def hardens_the_transform(walk) -> None:
    registration, chip = walk.registration, walk.panel.ui.answerChip
    bounds, pose = bounds_of(registration.ct), registration.world_from_ct
    slicer.vtkSlicerTransformLogic().hardenTransform(registration.ct)
    walk.process(1.0)
    walk.check(
        registration.ct.GetParentTransformNode() is None, "the transform is hardened on the CT"
    )
    walk.check(
        np.allclose(bounds_of(registration.ct), bounds, atol=1e-3), "which lies where it did"
    )
    walk.check(
        np.allclose(registration.world_from_ct, pose, atol=1e-6) and "ACCEPT" in chip.text,
        chip.text,
    )
    walk.press("answer", "undo")
    walk.press("register", "redo")
    walk.check(
        registration.ct.GetParentTransformNode() is registration.ct_transform
        and np.allclose(bounds_of(registration.ct), bounds, atol=1e-3),
        "Undo and Redo take it in again, and move it as before",
    )
    walk.check("ACCEPT" in chip.text, chip.text)


def shows_every_section(walk) -> None:
    """Each by itself, as the tutorial has them."""
    for name, section in walk.panel.sections.items():
        walk.unfold(name)
        walk.process(0.3)
        section.button.grab().save(str(walk.options.out / f"{name}.png"))


def takes_a_dark_theme(walk) -> None:
    before = slicer.app.palette()
    dark, light = qt.QColor(45, 45, 45), qt.QColor(230, 230, 230)
    palette = qt.QPalette(light, dark, dark, dark, dark, light, light, qt.QColor(30, 30, 30), dark)
    slicer.app.setPalette(palette)
    for name in walk.panel.sections:
        walk.unfold(name)
        walk.process(0.2)
        picture(walk.options.out / f"dark {name}.png")
    slicer.app.setPalette(before)


def opens_another_patient(walk) -> None:
    from MultiViewRegistrationLib.panel import self_test

    if walk.options.other is None:
        return
    first = walk.registration
    open_case(walk, walk.options.other)
    self_test.shows_each_xray_in_its_own_pane(walk)
    for view in first.xrays:
        frustum = view.node.GetNodeReference("frustum")
        walk.check(
            not frustum.GetDisplayVisibility(), f"nothing is seen of {view.name} of {first.name}"
        )
    began = time.thread_time()
    walk.panel.ui.registrationSelector.setCurrentNode(first.node)
    walk.check(True, f"the window stood for {time.thread_time() - began:.2f} s of processor time")
    walk.process(0.5)
    walk.check(walk.registration == first, "the first one is chosen again")
    shows_no_slices_of_the_other(walk, first)
    self_test.shows_each_xray_in_its_own_pane(walk)


def registers_again(walk) -> None:
    """What was drawn and moved meanwhile makes the result stale."""
    from MultiViewRegistrationLib.panel import self_test

    self_test.registers_by_search(walk)


def saves_and_reopens_the_scene(walk) -> None:
    pose, name = walk.registration.world_from_ct, walk.registration.name
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder, "scene.mrb")
        walk.check(slicer.util.saveScene(str(path)), "the scene is saved")
        slicer.mrmlScene.Clear()
        walk.process(0.5)
        walk.check(walk.registration is None, "nothing is left of it")
        slicer.util.loadScene(str(path))
        walk.process(1.0)
    walk.check(
        walk.registration is not None and walk.registration.name == name, "it is there again"
    )
    walk.check(
        np.allclose(walk.registration.world_from_ct, pose, atol=1e-6),
        "the CT lies where it was found",
    )


def reloads_the_module(walk) -> None:
    slicer.util.reloadScriptedModule("MultiViewRegistration")
    walk.process(0.5)
    walk.widget = slicer.modules.MultiViewRegistrationWidget
    walk.check(
        walk.registration is not None, "after Reload the panel goes on with the registration"
    )


if __name__ == "__main__":
    slicer.util.exit(main())
