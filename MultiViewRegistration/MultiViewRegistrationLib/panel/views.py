"""The layout: X-rays beside the 3D view, with the CT's slices or without."""

from __future__ import annotations

import numpy as np
import qt
import slicer

from ..known import without_none
from ..mrml import display, image, layout, slice_view, source_view
from ..mrml.ct_3d import shown_ct
from ..mrml.xray import drawn_on
from ..session.inputs import BoneSurfaceUpdater

#: Pictures a second of the 3D view while the CT is dragged in an X-ray, and of Slicer's views.
SPARED_3D_HZ = 4.0
USUAL_HZ = 60.0
#: Milliseconds after which the views of a layout have their sizes.
LAYOUT_MS = 500


class Views:
    """The button that shows the views, and the check box for the CT's slices.

    Parameters
    ----------
    panel
        The `panel.Panel` whose widgets they are.
    """

    def __init__(self, panel) -> None:
        self._panel = panel
        self._ui = panel.ui
        self._bones = BoneSurfaceUpdater()
        self._overview: source_view.Overview | None = None
        self._slices: slice_view.CTSliceFollower | None = None
        self._awaited = self._ct_alone = None
        self._ui.layoutButton.toggled.connect(self._on_views)
        self._ui.ctSlicesBox.toggled.connect(self._on_ct_slices)
        if slicer.app.layoutManager() is not None:
            slicer.app.layoutManager().connect("layoutChanged(int)", _take_out_sliders)

    @property
    def out_of_date(self) -> bool:
        """Whether another layout was chosen meanwhile."""
        return self._ui.layoutButton.checked != layout.shows(self._panel.registration)

    def refresh(self) -> None:
        """Update the views."""
        registration = self._panel.registration
        ui = self._ui
        shown = registration is not None and layout.shows(registration)
        ui.layoutButton.enabled = registration is not None and bool(registration.xrays)
        ui.layoutButton.checked = shown
        ui.ctSlicesBox.enabled = shown and registration.ct is not None
        ui.ctSlicesBox.checked = shown and layout.has_ct_slices(registration.scene)
        if not ui.ctSlicesBox.checked and self._slices is not None:
            self._slices = None
            for orientation, node in _slice_nodes().items():
                node.SetOrientation(orientation)

    def show(self, *, ct_slices: bool) -> None:
        """Change to the layout, with the CT in its slices. Nothing happens without X-rays."""
        registration = self._panel.registration
        before = layout.shows(registration)
        while self.making():  # a layout that makes them is wider than a small screen for a moment
            pass
        if not layout.show(registration, ct_slices, tabs=_is_narrow()):
            return
        if ct_slices:
            _show_in_slices(shown_ct(registration))
        if not before:
            self.stand_back()

    def show_once(self) -> None:
        """Show the views of the registration at work by themselves, as soon as it has an X-ray."""
        self._awaited = self._panel.registration

    def making(self) -> bool:
        """Make one of the slice views that are lacking; return whether the layout has to wait for it."""
        manager = slicer.app.layoutManager()
        made = manager is not None and layout.make_slice_view(self._panel.registration)
        if made:
            _take_out_sliders()
        return made

    def leave_if_empty(self) -> None:
        """Change to the layout from before where no X-ray is left, as after all were deleted in Data, until there is one."""
        registration = self._panel.registration
        reading = self._panel.files_presenter.waiting
        if not (registration.xrays or reading) and layout.shown(registration.scene):
            layout.back(registration.scene)
            self.show_once()

    def tick(self) -> None:
        """Have the views follow the CT, where they are shown.

        The surface of its bone, its slices, and the camera in 3D.
        """
        registration = self._panel.registration
        session = self._panel.session
        if self._awaited == registration and registration.xrays and not self.making():
            self._awaited = None
            self.show(ct_slices=layout.has_ct_slices(registration.scene))
            self._panel.invalidate()
        self._show_ct_alone(registration)
        if self._ct_alone is None and not layout.shows(registration):
            return
        self._bones.update(registration)
        for view in registration.xrays:
            slice_view.keep_on_plane(view)  # the wheel, or a key, may have taken it off
        if layout.has_ct_slices(registration.scene):
            self._slices = self._slices or slice_view.CTSliceFollower()
            self._slices.update(shown_ct(registration), _slice_nodes())
        camera = self.camera()
        if camera is None:
            return
        if (
            self._overview is not None
            and session.drawing.at_rest
            and session.running_registration is None
        ):
            geometry = self._panel.geometry.presenter.open
            self._overview.update(registration, camera, self.size(), sources=geometry)

    def _show_ct_alone(self, registration) -> None:
        """Show a CT that waits for its X-rays in Slicer's own slices and 3D view, once."""
        ct = None if registration.xrays else registration.ct
        if ct is not None and ct is not self._ct_alone:
            _show_in_slices(ct)
            self.stand_back()
        self._ct_alone = ct

    def draw_mask(self, view) -> None:
        """Draw the mask of an `XRayView`, in its own slice view, in the Segment Editor, where there is that module."""
        segmentation = view.mask or image.draw_mask(view)[0]
        self._ui.layoutButton.checked = True
        if not hasattr(slicer.modules, "segmenteditor"):
            return
        slicer.util.selectModule("SegmentEditor")
        editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
        editor.setSegmentationNode(segmentation)
        editor.setSourceVolumeNode(drawn_on(segmentation) or view.node)
        if not self._panel.shown:
            image.show_mask(view, filled=True)

    def update_views(self) -> None:
        """Have all views show the registration at work, and nothing of another one."""
        registration = self._panel.registration
        scene = slicer.mrmlScene
        if scene.IsClosing():
            return
        display.show_alone(scene, registration)
        if layout.has_ct_slices(scene):
            _show_in_slices(shown_ct(registration))
        qt.QTimer.singleShot(0, self._reset_clipping)  # once the 3D view has what there is now

    def stand_back(self) -> None:
        """Show all of the registration in the 3D view, once that has its size."""
        qt.QTimer.singleShot(0, self._stand_back_now)

    @staticmethod
    def three_d_view():
        """Return the first 3D view of the layout; None where there is none."""
        manager = slicer.app.layoutManager()
        widget = (
            manager.threeDWidget(0) if manager is not None and manager.threeDViewCount else None
        )
        return widget and widget.threeDView()

    def spare_3d(self, dragging: bool) -> None:
        """Have the 3D view follow only now and then what is dragged in an X-ray: by software it takes longer than all X-rays."""
        view = self.three_d_view()
        if view is not None:
            view.maximumUpdateRate = SPARED_3D_HZ if dragging else USUAL_HZ

    def camera(self):
        """Return the vtkMRMLCameraNode of the 3D view; None where the layout has none."""
        view = self.three_d_view()
        return view and source_view.camera_of(view.mrmlViewNode())

    def size(self) -> tuple[int, int]:
        """Return (width, height) of the 3D view in pixels; only to be called where there is one."""
        view = self.three_d_view()
        return view.width, view.height

    def show_ct_slices(self) -> None:
        """Have slices of the CT to click in, where there are none."""
        if not (layout.shows(self._panel.registration) and layout.has_ct_slices(slicer.mrmlScene)):
            self.show(ct_slices=True)

    def show_in_xrays(self, boxes: dict[str, np.ndarray]) -> None:
        """Show these pixels (2, 2) in the X-rays by their names; all of the others."""
        registration = self._panel.registration
        if registration is None:  # closed meanwhile
            return
        if not layout.shows(registration):
            self.show(ct_slices=False)
            if layout.shows(registration):  # its views get their sizes in a moment
                qt.QTimer.singleShot(LAYOUT_MS, lambda: self.show_in_xrays(boxes))
        for view in registration.xrays:
            if view.name in boxes:
                slice_view.show_pixels(view, boxes[view.name])
            else:
                slice_view.fit(view)

    def show_bone(self, corners: np.ndarray | None) -> None:
        """Show what lies within these corners (8, 3), world LPS mm, in all views; all where it is None."""
        registration = self._panel.registration
        if registration.apart and layout.has_ct_slices(registration.scene):
            _show_in_slices(shown_ct(registration))
        for view in registration.xrays:
            if corners is not None:
                slice_view.look_closely_in_xray(view, corners)
            else:
                slice_view.fit(view)
        for node in _slice_nodes().values():
            if corners is not None:
                slice_view.look_closely_in_slice(corners, node)
            elif registration.ct is not None:
                slice_view.fit_to_ct(shown_ct(registration), node)
        camera = self.camera()
        if camera is not None and corners is not None:
            source_view.look_closely(corners, camera, self.size())
        elif camera is not None:
            self.stand_back()

    def _on_views(self, on: bool) -> None:
        if self._panel.filling:
            return
        with self._panel.ui_action():
            if on:
                self.show(ct_slices=False)
            else:
                layout.back(slicer.mrmlScene)

    def _on_ct_slices(self, on: bool) -> None:
        if self._panel.filling:
            return
        with self._panel.ui_action():
            self.show(ct_slices=on)

    def _stand_back_now(self) -> None:
        registration = self._panel.registration
        if (
            registration is not None
            and registration.scene is not None
            and self.camera() is not None
        ):
            self._overview = source_view.Overview()
            self._overview.show(registration, self.camera(), self.size())

    def _reset_clipping(self) -> None:
        if self.camera() is not None:
            self.camera().ResetClippingRange()


def _is_narrow() -> bool:
    """Return whether three slice views abreast would widen the window."""
    manager = slicer.app.layoutManager()
    slice_widget = manager.sliceWidget("Red") if manager is not None else None
    return (
        slice_widget is not None
        and manager.viewport().width < len(layout.CT_SLICES) * slice_widget.minimumSizeHint.width()
    )


def _take_out_sliders(*_arrangement: int) -> None:
    """Have no X-ray's pane offer to leave its plane by a slider, which makes six of them too wide for a small screen."""
    manager = slicer.app.layoutManager()
    for node in layout.slice_nodes(slicer.mrmlScene):
        around = manager.sliceWidget(node.GetLayoutName())
        slider = around and slicer.util.findChild(around, "SliceOffsetSlider")
        if slider and not slider.isHidden():
            slider.visible = False
            for name in ("BarWidget", "SliceController"):  # whose size Qt would ask for later
                slicer.util.findChild(around, name).layout().activate()


def _show_in_slices(ct) -> None:
    """Show a CT in Slicer's own slice views, nothing where it is None.

    Slicer's own PropagateVolumeSelection would have the panes of the X-rays follow, too.
    """
    volume_id = ct and ct.GetID()
    slicer.app.applicationLogic().GetSelectionNode().SetActiveVolumeID(volume_id)
    for node in _slice_nodes().values():
        composite = layout.composite_node(slicer.mrmlScene, node.GetLayoutName())
        if composite.GetBackgroundVolumeID() != volume_id:
            composite.SetBackgroundVolumeID(volume_id)
            if ct is not None:
                slice_view.fit_to_ct(ct, node)


def _slice_nodes() -> dict:
    """Return the nodes of Slicer's own slice views that there are, by their orientations."""
    nodes = {each[1]: layout.slice_node(slicer.mrmlScene, each[0]) for each in layout.CT_SLICES}
    return without_none(nodes)
