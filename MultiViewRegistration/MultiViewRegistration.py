"""Register a CT to two or more X-ray images: the module of 3D Slicer.

What it does lies in MultiViewRegistrationLib.
"""

from __future__ import annotations

import os
from pathlib import Path
from unittest import SkipTest

import qt
import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin
from vtkmodules.util.misc import calldata_type
from vtkmodules.vtkCommonCore import VTK_OBJECT

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.datasets.chest import demo_case
from MultiViewRegistrationLib.mrml.display import SceneObserver, hide, is_shown
from MultiViewRegistrationLib.mrml.loading import register_sample_data
from MultiViewRegistrationLib.mrml.registration import MODULE, Registration
from MultiViewRegistrationLib.session.presenters.frontend import keep_read
from MultiViewRegistrationLib.session.session import Session

TUTORIAL = (
    "https://github.com/MultiViewRegistration/SlicerMultiViewRegistration/blob/main/docs/slicer.md"
)
#: How far the sample may lie from its truth after the self-test.
MAX_ERROR_MM = 0.5

#
# MultiViewRegistration
#


class MultiViewRegistration(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Multi-view 2D/3D Registration")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Registration")]
        self.parent.dependencies = []
        self.parent.contributors = ["The MultiViewRegistration contributors"]
        self.parent.helpText = _(
            "Finds where a CT lies in the world of two or more X-ray images, shows it over them, "
            "and hands the transform on. For research use only."
        )
        self.parent.helpText += _('<p>How to use it: <a href="{url}">tutorial</a>.</p>').format(
            url=TUTORIAL
        )
        self.parent.acknowledgementText = _(
            "The method stands on DiffPose (Gopalakrishnan et al., CVPR 2024) and on Cui et al. "
            "(ICRA 2025)."
        )
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData():
    """Add the sample to Slicer's Sample Data module."""
    register_sample_data(os.path.dirname(__file__), loadSample)


def loadSample(path: str) -> None:
    """Open the module with the sample's case."""
    slicer.util.selectModule(MODULE)
    slicer.modules.MultiViewRegistrationWidget.panel.opening.open(Path(path))


#
# MultiViewRegistrationWidget
#


class MultiViewRegistrationWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: MultiViewRegistrationLib.panel over the parameter node that is chosen."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.panel = None

    def setup(self):
        """Build the panel."""
        from MultiViewRegistrationLib.panel.panel import Panel

        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/MultiViewRegistration.ui"))
        self.layout.addWidget(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        self.logic = MultiViewRegistrationLogic()
        self.watch = SceneObserver(slicer.mrmlScene, qt.QTimer.singleShot)
        self.panel = Panel(self.ui, self.logic, self.resourcePath)
        self.selectors = slicer.util.findChildren(uiWidget, className="qMRMLNodeComboBox")
        self.addObserver(
            slicer.mrmlScene,
            slicer.mrmlScene.NodeAboutToBeRemovedEvent,
            self.onNodeAboutToBeRemoved,
        )
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndClose)
        if self.parent.isEntered:  # reloaded while it is open
            self.enter()

    def cleanup(self):
        """Close the panel: the application closes, or the module is reloaded."""
        self.removeObservers()
        if self.panel is not None:
            self.panel.close()
            self.watch.stop()

    def enter(self):
        """Show a registration: the module is opened."""
        self.initializeParameterNode()
        self.panel.enter()

    def exit(self):
        """Put tools away: another module is opened."""
        self.panel.exit()

    @calldata_type(VTK_OBJECT)
    def onNodeAboutToBeRemoved(self, caller, event, node):
        """Choose none where this node is chosen.

        A selector of Slicer puts another in its place, whosever it is.
        """
        for selector in self.selectors:
            if selector.currentNode() is node and not caller.IsClosing():
                selector.setCurrentNode(None)

    def onSceneStartClose(self, caller, event):
        """End all work on the scene before it is cleared."""
        self.panel.close_scene()
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        """Show what the scene has after it was cleared or read."""
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self):
        """Work on the registration from before, or the one whose views are shown, or the first in the scene, if there is any."""
        if self.panel.registration is None:
            registrations = Registration.all(slicer.mrmlScene)
            shown = [registration for registration in registrations if is_shown(registration)]
            self.setParameterNode(next(iter([*shown, *registrations]), None))
        else:
            self.panel.views.update_views()

    def setParameterNode(self, registration):
        """Work on this registration."""
        self.panel.choose(registration)


#
# MultiViewRegistrationLogic
#


class MultiViewRegistrationLogic(ScriptedLoadableModuleLogic):
    """Registration without the panel.

    Examples
    --------
    >>> logic = slicer.util.getModuleLogic("MultiViewRegistration")
    >>> registration = logic.loadCase("case.json")
    >>> logic.register(registration, start="search")
    """

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        self._sessions = []

    def getParameterNode(self, registration=None):
        """Return the node of a registration, of the first in the scene, made where there is none."""
        first = registration or next(iter(Registration.all(slicer.mrmlScene)), None)
        return (first or Registration.create(slicer.mrmlScene)).node

    def session(self, registration) -> Session:
        """Return the session of a registration: one for each."""
        for session in self.sessions:
            if session.registration == registration:
                return session
        self._sessions.append(Session(registration))
        return self._sessions[-1]

    @property
    def sessions(self) -> list[Session]:
        """The sessions of registrations that are there.

        With one that was removed, its work ends.
        """
        for session in self._sessions:
            if session.registration.scene is None:
                session.poll(0)
        self._sessions = [
            session for session in self._sessions if session.registration.scene is not None
        ]
        return list(self._sessions)

    def loadCase(self, path: str | Path) -> Registration:
        """Make a registration with all that a case.json names.

        Raises
        ------
        InputError
            If it is invalid.
        """
        from MultiViewRegistrationLib.mrml.loading import read_case

        return self.take(read_case(os.fspath(path)))

    def loadTrack(self, path: str | Path) -> Registration:
        """Make a registration with the case of a track.json, whose sequence its session plays.

        Raises
        ------
        InputError
            If either is invalid.
        """
        from MultiViewRegistrationLib.session.result_files import read_track

        return self.take(read_track(Path(path)))

    def take(self, read) -> Registration:
        """Make a registration with what was read, maybe in a thread.

        Parameters
        ----------
        read
            A ReadCase; that of a track then plays.
        """
        one_is_shown = any(map(is_shown, Registration.all(slicer.mrmlScene)))
        registration = read(slicer.mrmlScene)
        if one_is_shown:
            hide(registration)  # until it is chosen
        keep_read(self.session(registration), read)
        return registration

    def register(self, registration, start="search", **options) -> Session:
        """Register and wait.

        Parameters
        ----------
        start
            One of session.session.STARTS.

        Raises
        ------
        InputError
            If it fails.
        """
        session = self.session(registration)
        session.register(start, **options)
        session.finish()
        return session


#
# MultiViewRegistrationTest
#


class MultiViewRegistrationTest(ScriptedLoadableModuleTest):
    """Slicer's self-test, behind the Reload and Test button.

    The sample is registered to its truth.
    """

    def setUp(self):
        """Clear the scene, and have the sample, and the packages of DRRs where a person agrees; skip the test without them."""
        from MultiViewRegistrationLib.panel import packages

        slicer.mrmlScene.Clear()
        requirements = os.path.join(os.path.dirname(__file__), "Resources", "requirements.txt")
        missing = packages.missing_message(requirements)
        if missing and slicer.app.testingEnabled():  # nobody is there to agree
            self.skipTest(missing)
        try:
            packages.ensure(requirements)
            self.case = demo_case()
        except InputError as error:
            self.skipTest(str(error))

    def runTest(self):
        """Run the test on an empty scene."""
        try:
            self.setUp()
            self.test_RegistersSample()
        except SkipTest as why:
            self.delayDisplay(_("Not tested: {why}").format(why=why))

    def test_RegistersSample(self):
        """Register the sample from where its case has the CT, and hold the pose against the truth."""
        logic = MultiViewRegistrationLogic()
        registration = logic.loadCase(self.case)
        self.delayDisplay(_("Registering {name}").format(name=registration.name))
        error_mm = logic.register(registration, start="given").error()
        self.assertLess(error_mm, MAX_ERROR_MM)
        self.delayDisplay(_("The CT is {mm:.2f} mm from the truth").format(mm=error_mm))
