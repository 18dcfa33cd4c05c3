"""A walk through the panel by its own widgets, from which walk.py and Testing/walks go on."""

from __future__ import annotations

import logging
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

import numpy as np
import qt
import slicer

from MultiViewRegistrationLib.mrml import slice_view
from MultiViewRegistrationLib.mrml.layout import composite_node, tag_of
from MultiViewRegistrationLib.mrml.registration import MODULE

#: Seconds that a step may take, a compilation of all kernels included.
PATIENCE = 300.0


class _Caught(logging.Handler):
    """Keeps the texts of errors that are logged."""

    def __init__(self, texts):
        super().__init__(logging.ERROR)
        self._texts = texts

    def emit(self, record):
        self._texts.append(logging.Formatter().format(record))


class Walk:
    """A walk through the panel that clicks what a person could click, waits, looks, and says what it checked.

    AssertionError where something is not as it should be.

    An exception in any slot, observer or thread, which Slicer prints and forgets, fails the step
    that it happens in.

    Parameters
    ----------
    widget
        The module's Widget.
    say
        Gets a line for each check.
    picture
        Called after each step, with a name for the picture.
    """

    def __init__(
        self,
        widget,
        say=print,
        picture=lambda name: None,
    ):
        self.widget = widget
        self._say = say
        self.picture = picture
        self._caught: list[str] = []
        self._hooks = sys.excepthook, threading.excepthook
        sys.excepthook = lambda *error: self._caught.append(
            "".join(traceback.format_exception(*error))
        )
        threading.excepthook = lambda error: self._caught.append(
            "".join(traceback.format_exception(*error[:3]))
        )
        self._log = _Caught(self._caught)
        logging.getLogger().addHandler(self._log)

    def end(self):
        """Stop catching errors."""
        sys.excepthook, threading.excepthook = self._hooks
        logging.getLogger().removeHandler(self._log)

    @property
    def panel(self):
        """The module's panel."""
        return self.widget.panel

    @property
    def registration(self):
        """The registration at work."""
        return self.panel.registration

    def run(self, *steps):
        """Take these steps, one after the other."""
        try:
            for step in steps:
                name = step.__name__.replace("_", " ")
                self._say(f"* {name}")
                step(self)
                self.process(0.3)
                self.picture(name)
        finally:
            self.end()

    def process(self, seconds=0.0):
        """Let Slicer's event loop run."""
        end = time.monotonic() + seconds
        while True:
            slicer.app.processEvents()
            if self._caught:
                caught = self._caught
                self._caught = []
                raise AssertionError("\n".join(caught))
            if time.monotonic() >= end:
                return
            time.sleep(0.01)

    def wait(self, until, what, seconds=PATIENCE):
        """Process events until `until()` is true."""
        end = time.monotonic() + seconds
        while not until():
            self.process(0.02)
            if time.monotonic() > end:
                raise AssertionError(
                    f"{what}: not after {seconds:g} s; the panel says: "
                    f"{self.panel.ui.messageLabel.text}"
                )
        self.process(0.2)

    def check(self, holds, what):
        """Say that something is as it should be."""
        if not holds:
            raise AssertionError(
                f"not so: {what}; the panel says: {self.panel.ui.messageLabel.text}"
            )
        self._say(f"  - {what}")

    def form(self, name):
        """Return the `panel.section.QtForm` of a section, or of the answer."""
        return (self.panel.answer if name == "answer" else self.panel.sections[name]).form

    def unfold(self, name):
        """Unfold a section, and fold the others."""
        for each, section in self.panel.sections.items():
            section.button.collapsed = each != name
        self.process(0.1)

    def drawn(self, name, key):
        """Return a control of the answer, or of a section, which is unfolded, as `panel.section` drew it."""
        if name != "answer":
            self.unfold(name)
        return self.form(name).drawn[key]

    def text(self, name, key):
        """Return the text of a control in a section; "" where it is hidden."""
        control = self.form(name).controls.get(key)
        return control.label if control is not None else ""

    def press(self, name, key):
        """Press a button of a section."""
        self.click(self.drawn(name, key).widget)

    def click(self, button):
        """Press a button that is seen and enabled."""
        if not (button.visible and button.enabled):
            raise AssertionError(f"{button.name} cannot be clicked: {button.toolTip}")
        button.click()
        self.process(0.1)

    def choose(self, box, index):
        """Choose an entry of a combo box by an arrow key, as a person may."""
        box.blockSignals(True)
        box.setCurrentIndex(index - 1 if index else 1)
        box.blockSignals(False)
        for kind in (qt.QEvent.KeyPress, qt.QEvent.KeyRelease):
            slicer.app.sendEvent(
                box, qt.QKeyEvent(kind, qt.Qt.Key_Down if index else qt.Qt.Key_Up, qt.Qt.NoModifier)
            )
        self.process(0.1)

    def header(self, name):
        """Return the text of a section's header."""
        return self.panel.sections[name].button.text

    def wait_for_work(self, what):
        """Wait until the background work is done."""
        self.wait(lambda: not self.panel.session.running, what)


def shows_each_xray_in_its_own_pane(walk):
    """Check that each X-ray has a slice view of its own."""
    if slicer.app.layoutManager() is None:
        return
    if not walk.panel.ui.layoutButton.checked:
        walk.click(walk.panel.ui.layoutButton)
    views = walk.registration.xrays
    walk.wait(
        lambda: all(composite_node(slicer.mrmlScene, tag_of(view)) for view in views),
        "the panes of the X-rays",
        10,
    )
    for view in views:
        composite = composite_node(slicer.mrmlScene, tag_of(view))
        walk.check(
            composite.GetBackgroundVolumeID() == view.id,
            f"the pane {tag_of(view)} shows {view.name} of {walk.registration.name}",
        )
        label = view.node.GetNodeReference("label")
        walk.check(
            label is not None and walk.registration.name in label.GetNthControlPointLabel(0),
            "and says whose X-ray it is",
        )
        walk.check(slice_view.is_on_plane(view), "and its slice is the X-ray's plane")


def is_told_the_answer(walk):
    """Check that a new case is registered by itself."""
    walk.wait(
        lambda: walk.panel.ui.answerChip.text.endswith(("ACCEPT", "CHECK", "REJECT")),
        "the registration of a new case",
    )
    chip = walk.panel.ui.answerChip.text
    headline = walk.panel.ui.answerHeadline.text
    walk.check(
        "ACCEPT" in chip,
        f'the answer is "{chip} {headline}", and the X-rays are {walk.panel.ui.answerViews.text}',
    )
    walk.press("answer", "undo")
    walk.check(
        "ACCEPT" not in walk.panel.ui.answerChip.text, "what is said of it holds no more after Undo"
    )


def registers_by_search(walk):
    """Register by a search."""
    start = walk.drawn("start", "start")
    walk.click(start.button("search"))
    register = walk.drawn("answer", "register").widget
    walk.wait(lambda: register.visible and register.enabled, "Register can be clicked")
    walk.click(register)
    cancel = walk.drawn("answer", "cancel").widget
    walk.check(not register.visible and cancel.enabled, "it runs, and can be cancelled")
    walk.wait(lambda: "accept" in walk.header("register"), "the registration")
    walk.check(walk.panel.session.ended == "done", walk.text("register", "outcome"))
    error_mm = walk.panel.session.error()
    if error_mm is not None:
        walk.check(error_mm < 0.5, f"the CT is {error_mm:.2f} mm from the truth")


def exports_the_transform(walk):
    """Export, and compare the transform with the scene's."""
    export = walk.drawn("export", "registration")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        walk.wait(lambda: export.widget.enabled, "Export can be clicked", 10)
        export.write(Path(folder))  # as once the dialog has it
        walk.wait_for_work("the export")
        walk.check(
            {"result.json", "world_from_ct.slicer.tfm", "report.html"}
            <= {file.name for file in Path(folder).iterdir()},
            walk.text("export", "written"),
        )
        read = slicer.vtkMRMLLinearTransformNode()
        reader = slicer.vtkMRMLTransformStorageNode()
        reader.SetFileName(str(Path(folder, "world_from_ct.slicer.tfm")))
        walk.check(reader.ReadData(read), "Slicer reads the transform's file")
    exported, of_node = map(
        slicer.util.arrayFromTransformMatrix, (read, walk.registration.ct_transform)
    )
    walk.check(np.allclose(exported, of_node, atol=1e-6), "and it is the transform of the scene")


SHORT = (
    shows_each_xray_in_its_own_pane,
    is_told_the_answer,
    registers_by_search,
    exports_the_transform,
)


def open_panel():
    """Return the module's Widget, shown."""
    slicer.util.selectModule(MODULE)
    slicer.app.processEvents()
    return getattr(slicer.modules, f"{MODULE}Widget")
