"""The CT's bone in the 3D views, by Slicer's volume rendering: it moves with the CT, and stands between source and detector."""

from __future__ import annotations

import slicer

from .products import OWNER, products_of, remove_with_products
from .registration import CT_UNIT, Registration

#: Of Slicer's presets; it shows bone and what is filled with contrast agent.
PRESET = "CT-AAA"


def can_show(registration: Registration) -> bool:
    """Whether there is a CT with voxels, and a Slicer with volume rendering."""
    ct = registration.ct
    return _logic() is not None and ct is not None and ct.GetImageData() is not None


def is_shown(registration: Registration) -> bool:
    display = _display(registration)
    return display is not None and bool(display.GetVisibility())


def show(registration: Registration, shown: bool = True) -> None:
    """Show the CT, or hide it. What a person has set up for its volume rendering stays; without such a thing, bone is shown."""
    if not can_show(registration):
        return
    display = _display(registration)
    if display is None and shown:
        display = _new_display(registration)
    if display is not None:
        display.SetVisibility(shown)


def follow(registration: Registration) -> None:
    """Another CT has been chosen: what was shown of the one before by this goes, and the new one is shown in its place."""
    ct, shown = registration.ct, False
    for made in products_of(registration.node):
        if made.IsA("vtkMRMLVolumeRenderingDisplayNode") and made.GetVolumeNode() is not ct:
            shown |= bool(made.GetVisibility())
            scene, properties = made.GetScene(), made.GetVolumePropertyNode()
            remove_with_products(made)
            if properties is not None and properties.GetNodeReferenceID(OWNER):
                scene.RemoveNode(properties)
    if shown:
        show(registration)


def _display(registration: Registration):
    """The CT's volume rendering display node, whoever made it."""
    return _logic().GetFirstVolumeRenderingDisplayNode(registration.ct) if can_show(registration) else None


def _new_display(registration: Registration):
    logic = _logic()
    display = logic.CreateDefaultVolumeRenderingNodes(registration.ct)
    properties = display.GetVolumePropertyNode()
    preset = logic.GetPresetByName(PRESET) if registration.parameter(CT_UNIT, "hu") == "hu" else None
    if preset is not None:
        properties.Copy(preset)
    properties.SetHideFromEditors(True)
    for node in (display, properties):  # they go when the registration goes
        node.SetNodeReferenceID(OWNER, registration.node.GetID())
    return display


def _logic():
    """The vtkSlicerVolumeRenderingLogic of Slicer's module, None without that."""
    module = getattr(slicer.modules, "volumerendering", None)
    return module.logic() if module is not None else None
