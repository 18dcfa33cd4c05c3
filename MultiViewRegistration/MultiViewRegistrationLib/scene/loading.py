"""Files into the scene: a CT, an X-ray, or a whole case.json."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from ..geometry.camera import Camera
from ..geometry.landmarks import Landmark
from ..imaging.xray import RawImage, load_image, recognised
from ..io.case import Case
from ..io.case_file import CaseFile
from ..io.fields import read_json
from .case import LANDMARKS, grid_of, keep_extras
from .frames import ras_from_lps
from .image import set_source
from .products import OWNER, product
from .registration import CT_UNIT, Registration
from .xray import MASK, XRayView


def load_case(scene, path: str | os.PathLike) -> Registration:
    """A registration with all that a case.json names. InputError for what is wrong in it; nothing is left in the scene then."""
    case = Case.load(path)  # everything is read and checked before the scene changes
    file = CaseFile.read(path)
    content = read_json(file.path)
    images = [load_image(view.image.path, view.frame) for view in file.views]
    masks = [view.mask and load_image(view.mask.path).values != 0 for view in file.views]

    registration = Registration.create(scene, case.name)
    ct = volume_node(scene, _name(file.ct.path), case.ct.volume.values, case.ct.volume.ct_from_index)
    registration.ct = ct
    registration.node.SetParameter(CT_UNIT, case.ct.unit)
    if case.ct.mask is not None:
        registration.choose_segment(*segmentation_node(scene, _name(file.mask.path), case.ct.mask, ct))
    for key, value in case.search.items():
        registration.node.SetParameter(key, str(value))
    keep_extras(registration, case)
    if case.world_from_ct is not None:
        registration.world_from_ct = case.world_from_ct
    for view, entry, told, raw, mask in zip(case.views, file.views, content["views"], images, masks, strict=True):
        xray = registration.add_xray(view.name)
        geometry = {"c_arm": told["c_arm"]} if "c_arm" in told else {"camera": camera_content(view.camera)}
        intensity, inverted = recognised(raw) if entry.intensity == "auto" else (entry.intensity, False)
        xray.change(**geometry, rotation_sd_deg=view.rotation_sd_deg, translation_sd_mm=view.translation_sd_mm, intensity=intensity,
                    inverted=inverted, pixel_mm=view.xray.pixel_mm, **{"from": "case.json"})
        set_source(xray, source_node(xray, _name(entry.image.path), raw))
        if mask is not None:
            segmentation, _ = segmentation_node(scene, _name(entry.mask.path), mask[None], xray.node)
            xray.node.SetNodeReferenceID(MASK, segmentation.GetID())
    place_landmarks(registration, case.landmarks)
    return registration


def camera_content(camera: Camera) -> dict:
    """A camera as a case.json has it."""
    return {"intrinsics": camera.intrinsics.tolist(), "camera_from_world": camera.camera_from_world.tolist(), "size": list(camera.size)}


def volume_node(scene, name: str, values: np.ndarray, world_from_index: np.ndarray):
    """A vtkMRMLScalarVolumeNode of an array (slices, rows, columns) that lies so in LPS; Hounsfield units as whole numbers."""
    if values.dtype == np.float32 and np.array_equal(values, values.astype(np.int16)):
        values = values.astype(np.int16)
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(ras_from_lps(world_from_index)))
    slicer.util.updateVolumeFromArray(node, values)
    node.CreateDefaultDisplayNodes()
    return node


def source_node(view: XRayView, name: str, raw: RawImage):
    """The volume of an X-ray as its file has it. It goes with the view, and is not shown in lists of volumes: the view stands for it."""
    values = raw.values.astype(np.uint16) if raw.step == 1 and raw.values.min() >= 0 and raw.white < 2**16 else raw.values
    node = volume_node(view.node.GetScene(), name, values[None], np.eye(4))
    node.SetHideFromEditors(True)
    node.SetNodeReferenceID(OWNER, view.node.GetID())
    return node


def segmentation_node(scene, name: str, selected: np.ndarray, volume):
    """A segmentation with one segment, True in `selected` (slices, rows, columns) on a volume's grid, and the segment's ID."""
    labelmap = grid_of(volume)
    labelmap.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    vtk_to_numpy(labelmap.GetPointData().GetScalars())[:] = selected.ravel()
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    return node, node.AddSegmentFromBinaryLabelmapRepresentation(labelmap, name)


def place_landmarks(registration: Registration, landmarks: list[Landmark]) -> None:
    """Markups for landmarks: a list in the CT, and one at each X-ray that shows any."""
    for landmark in landmarks:
        _add_point(landmark_list(registration), landmark.name, ras_from_lps(landmark.ct))
        for view in registration.xrays:
            if view.name in landmark.pixels:
                _add_point(landmark_list(registration, view), landmark.name, view.ras_of(landmark.pixels[view.name]))


def landmark_list(registration: Registration, view: XRayView | None = None):
    """The list of landmarks in the CT, which moves with it, or in one X-ray; made where there is none."""
    owner, where = (registration.node, "CT") if view is None else (view.node, view.name)
    node = owner.GetNodeReference(LANDMARKS)
    if node is None:
        node = product(owner, LANDMARKS, "vtkMRMLMarkupsFiducialNode", f"Landmarks {where}")
        node.CreateDefaultDisplayNodes()
        node.SetControlPointLabelFormat("")  # a new point has no name until it is known where it belongs
        if view is None:
            node.SetAndObserveTransformNodeID(registration.ct_transform.GetID())
    return node


def _add_point(markups, label: str, position) -> None:
    markups.AddControlPoint(*position, label)


def _name(path: Path) -> str:
    """A file's name without what says its format."""
    return path.name.split(".")[0] or path.name
