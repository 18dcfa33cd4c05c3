"""One registration is shown at a time: nothing of another patient is left in any view."""

import numpy as np
import pytest
import vtk
from helpers.scene_rendering import slice_view
from helpers.tiny_scene import add_xray, c_arm, complete, dot_image, registration_of

from MultiViewRegistrationLib.geometry.landmarks import Landmark
from MultiViewRegistrationLib.mrml import display, image, layout, overlay
from MultiViewRegistrationLib.mrml.image import add_mask
from MultiViewRegistrationLib.mrml.landmarks import place_landmarks


def dots(scene, name, shift):
    """A registration with two X-rays, each with a dot, a landmark list and a mask."""
    registration = registration_of(
        scene, {"AP": c_arm(shift), "lateral": c_arm(90 + shift)}, {"AP": np.array([shift, 0, 0])}
    )
    registration.node.SetName(name)
    place_landmarks(registration, [Landmark("tip", np.zeros(3), {"AP": np.array([40.0, 30.0])})])
    used = np.ones((72, 96), bool)
    used[:20] = False
    add_mask(registration.xrays[0], f"{name} mask", used)
    return registration


@pytest.mark.parametrize("role", ("GetForegroundVolumeID", "GetBackgroundVolumeID"))
def test_a_volume_that_is_removed_is_taken_out_of_the_views_first(slicer_app, scene, watch, role):
    """Slicer puts any other volume in the place of one that is removed while a slice view shows it."""
    slice_view(slicer_app)
    registration = complete(scene)
    view = registration.xrays[0]
    overlay.lay(registration, 0.0)
    composite = layout.composite_node(scene, "XRay1")
    volume = view.node.GetNodeReference("drr") if role.startswith("GetF") else view.node
    assert getattr(composite, role)() == volume.GetID()
    seen = []

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def removing(scene, event, node):
        if node is volume:
            seen.append((getattr(composite, role)(), composite.GetForegroundOpacity()))

    tag = scene.AddObserver(scene.NodeAboutToBeRemovedEvent, removing)
    if role.startswith("GetF"):
        overlay.SliceCanvas().remove(view)
    else:
        registration.remove_xray(view)
    scene.RemoveObserver(tag)
    assert seen == [(None, 0.0)]


def test_what_slicer_puts_in_its_place_does_not_stay(slicer_app, scene, watch):
    slice_view(slicer_app)
    registration = complete(scene)
    view = registration.xrays[0]
    overlay.lay(registration, 0.0)
    composite, foreign = layout.composite_node(scene, "XRay1"), registration.ct
    drr = view.node.GetNodeReference("drr")
    tag = scene.AddObserver(
        scene.NodeAboutToBeRemovedEvent,
        lambda *_args: composite.SetForegroundVolumeID(foreign.GetID()),
    )
    scene.RemoveNode(drr)  # by a person, in Slicer's Data module
    scene.RemoveObserver(tag)
    assert (
        composite.GetForegroundVolumeID() is None
        and composite.GetBackgroundVolumeID() == view.node.GetID()
    )


def test_a_mask_is_an_outline_in_its_own_pane_alone(slicer_app, scene, watch):
    first, second, red = (
        slice_view(slicer_app),
        slice_view(slicer_app, "XRay2"),
        slice_view(slicer_app, "Red"),
    )
    registration = dots(scene, "first", 0)
    display.show(registration)
    view = registration.xrays[0]
    shown = view.mask.GetDisplayNode()
    shows = [
        shown.IsDisplayableInView(each.get_view_node().GetID()) for each in (first, second, red)
    ]
    assert (
        shows == [True, False, True]
        and shown.GetVisibility2DOutline()
        and not shown.GetVisibility2DFill()
    )
    image.show_mask(view, filled=True)
    assert shown.GetVisibility2DFill() and shown.GetOpacity2DFill() == image.FILL_OPACITY
    display.show(registration)
    assert not shown.GetVisibility2DFill()
    image.set_mask(view, None)
    assert not shown.GetViewNodeIDs()  # it is a segmentation like any other


def test_an_xray_without_geometry_is_not_in_3d(slicer_app, scene, watch):
    views = [slice_view(slicer_app, f"XRay{i}") for i in (1, 2)]
    registration = registration_of(scene, {"AP": c_arm()})
    add_xray(registration, "no geometry", None, dot_image((96, 72), (40, 30)))
    display.show(registration)
    assert [layout.slice_node(scene, f"XRay{i}").GetSliceVisible() for i in (1, 2)] == [1, 0]
    assert views[1].get_background_volume_id() == registration.xrays[1].node.GetID()
