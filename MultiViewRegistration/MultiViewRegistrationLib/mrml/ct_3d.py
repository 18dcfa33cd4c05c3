"""Display of the CT's bone in the 3D views, as a coarse surface or volume rendering, and of bones with separate poses.

Both displays move with the CT. Each separate bone is a surface under its transform node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
import slicer
from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray
from vtkmodules.vtkCommonCore import vtkPoints
from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkImageData, vtkPolyData
from vtkmodules.vtkCommonExecutionModel import vtkAlgorithm
from vtkmodules.vtkCommonTransforms import vtkTransform
from vtkmodules.vtkFiltersCore import (
    vtkFlyingEdges3D,
    vtkPolyDataNormals,
    vtkWindowedSincPolyDataFilter,
)
from vtkmodules.vtkFiltersGeneral import vtkTransformPolyDataFilter
from vtkmodules.vtkFiltersSources import vtkSphereSource
from vtkmodules.vtkImagingCore import vtkImageShrink3D

from ..errors import InputError
from ..geometry import rigid
from ..imaging.body import colour_of
from ..imaging.ct import BONE_HU, BONE_SHARE_OF_LARGEST, CT, voxels_in
from .fingerprints import of_ct
from .nodes import (
    OWNER,
    Colour,
    configure,
    has_voxels,
    lps_from_ras,
    make,
    nodes_of_class,
    positions,
    product,
    products_of,
    ras_from_lps,
    references,
    remove_product,
    remove_with_products,
    segments_of,
    set_transform,
    transform_of,
)
from .registration import BONE_NAME, Registration

BONES = "bones"
#: What the surface was made of: it is made again only where that has changed.
MADE_OF = "MultiViewRegistration.madeOf"
SURFACE_COLOUR = (0.90, 0.85, 0.74)
#: About the size of its triangles, at most; of a small bone by itself they are this share of its
#: length.
GRAIN_MM = 3.0
GRAIN_SHARE = 0.02
#: About the size of those of a mask whose outline is drawn.
OUTLINE_MM = 1.2
#: How far it is blurred before, in voxels, so that it has no steps: no sheet of one voxel is lost.
#: How many voxels the blur reaches.
BLUR = 0.7
BLUR_VOXELS = 3
SMOOTHING = 12
PASS_BAND = 0.15


def surface_is_current(registration: Registration) -> bool:
    """Return whether the surface of the current CT is up to date."""
    node = registration.node.GetNodeReference(BONES)
    return (
        node is not None
        and node.GetPolyData() is not None
        and node.GetAttribute(MADE_OF) == of_ct(registration)
    )


def take_surface(registration: Registration) -> Callable[[], vtkPolyData]:
    """Prepare the computation of a surface.

    The scene is read immediately; the returned function does the slow part and may run in any thread.

    Raises
    ------
    InputError
        If there is no CT with voxels.
    """
    ct = registration.ct
    if not has_voxels(ct):
        raise InputError("CT: none is chosen, expected a volume; select or load one.")
    image = vtkImageData()
    spacing_mm = ct.GetSpacing()
    image.ShallowCopy(ct.GetImageData())
    to_ras = slicer.util.vtkMatrixFromArray(registration.ct_place)
    level = (
        BONE_HU
        if registration.ct_unit == "hu"
        else BONE_SHARE_OF_LARGEST * image.GetScalarRange()[1]
    )
    return lambda: isosurface(image, level, voxels_in(GRAIN_MM, spacing_mm), to_ras)


def structure_surface(ct: CT) -> vtkPolyData:
    """Return the surface of a CT outside a scene, or of the structure selected by its mask, if any.

    May run in any thread.
    """
    values = ct.volume.values
    image = vtkImageData()
    level = BONE_HU if ct.unit == "hu" else BONE_SHARE_OF_LARGEST * float(values.max())
    if ct.mask is not None:
        values = np.where(ct.mask, values, values.min())
    image.SetDimensions(*values.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(values).ravel(), deep=True))
    there = [np.flatnonzero((values >= level).any(axis=axes)) for axes in ((0, 1), (0, 2), (1, 2))]
    longest_mm = max(
        (np.ptp(at) * mm for at, mm in zip(there, ct.volume.spacing_mm, strict=True) if len(at)),
        default=0.0,
    )
    steps = voxels_in(min(GRAIN_MM, GRAIN_SHARE * longest_mm), ct.volume.spacing_mm)
    return isosurface(
        image, level, steps, slicer.util.vtkMatrixFromArray(ras_from_lps(ct.volume.ct_from_index))
    )


#: Sides of a sphere's outline.
SPHERE_SIDES = 32


def sphere_surface(centre_ras: np.ndarray, radius_mm: float) -> vtkPolyData:
    """Return a sphere about a point (3,), RAS mm."""
    source = vtkSphereSource()
    source.SetCenter(*centre_ras)
    source.SetRadius(radius_mm)
    source.SetThetaResolution(SPHERE_SIDES)
    source.SetPhiResolution(SPHERE_SIDES)
    source.Update()
    return source.GetOutput()


def mask_surface(mask: np.ndarray, ras_from_index: np.ndarray) -> vtkPolyData:
    """Return the closed surface of a mask (slices, rows, columns) at a pose (4, 4), fine enough for outlines.

    May run in any thread.
    """
    steps = voxels_in(OUTLINE_MM, rigid.steps(ras_from_index))
    before = steps * (1 + BLUR_VOXELS // steps)  # whole steps, with room for the blur
    room = [(first, first + step) for first, step in zip(before[::-1], steps[::-1], strict=True)]
    place = ras_from_index.copy()
    values = scipy.ndimage.gaussian_filter(np.pad(mask, room).astype(np.float32), BLUR)
    image = vtkImageData()
    place[:3, 3] -= place[:3, :3] @ before
    image.SetDimensions(*values.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(values.ravel(), deep=True))
    return isosurface(image, 0.5, steps, slicer.util.vtkMatrixFromArray(place))


def isosurface(image: Any, level: float, steps: Iterable[float], to_ras: Any) -> vtkPolyData:
    """Return the isosurface of a vtkImageData, subsampled along i, j, k.

    `to_ras` transforms its indices to the frame of the surface.
    """
    thin = vtkImageShrink3D()
    transform = vtkTransform()
    thin.SetInputData(image)
    configure(thin, ShrinkFactors=tuple(map(int, steps)), Mean=True)
    transform.SetMatrix(to_ras)
    last: vtkAlgorithm = thin
    for following, values in (
        (
            vtkFlyingEdges3D(),
            {"Value": (0, level), "ComputeNormals": False, "ComputeScalars": False},
        ),
        (
            vtkWindowedSincPolyDataFilter(),
            {"NumberOfIterations": SMOOTHING, "PassBand": PASS_BAND, "NormalizeCoordinates": True},
        ),
        (vtkTransformPolyDataFilter(), {"Transform": transform}),
        (vtkPolyDataNormals(), {"Splitting": False}),
    ):
        configure(following, InputConnection=last.GetOutputPort(), **values)
        last = following
        last.Update()
        if not last.GetOutputDataObject(0).GetNumberOfPoints():
            break  # VTK warns of a surface with nothing to smooth
    return last.GetOutputDataObject(0)


def put_surface(registration: Registration, made: vtkPolyData) -> None:
    """Replace the surface of the CT; it stays hidden if the user has hidden the previous surface."""
    name = f"{registration.name} bones"
    node = put_model(
        registration.node, BONES, name, made, registration.ct_transform, SURFACE_COLOUR, hidden=True
    )
    node.SetAttribute(MADE_OF, of_ct(registration))


def put_model(
    owner: Any,
    role: str,
    name: str,
    made: vtkPolyData,
    transform: Any,
    colour: Colour,
    *,
    hidden: bool = False,
):
    """Show a surface in 3D, under a transform node, in the owner's model node with that role.

    The colour is used only for a new model.
    """
    style = {"Color": colour, "Visibility2D": False, "Specular": 0.2}
    node = product(owner, role, "vtkMRMLModelNode", name, hidden=hidden, **style)
    node.SetAndObservePolyData(made)
    node.SetAndObserveTransformNodeID(transform.GetID())
    return node


def add_model(
    registration: Registration, name: str, points: np.ndarray, triangles: np.ndarray
) -> Any:
    """Add a surface model of the user to the scene, under the CT's transform, and return its node.

    Parameters
    ----------
    registration
        The registration.
    name
        Name of the model.
    points
        (n, 3), LPS mm, in the frame of the CT.
    triangles
        (m, 3) indices of the corners.
    """
    corners = vtkPoints()
    cells = vtkCellArray()
    mesh = vtkPolyData()
    normals = vtkPolyDataNormals()
    corners.SetData(numpy_to_vtk(ras_from_lps(points).astype(np.float32), deep=True))
    offsets = np.arange(0, triangles.size + 1, 3)
    cells.SetData(
        numpy_to_vtkIdTypeArray(offsets, deep=True),
        numpy_to_vtkIdTypeArray(triangles.ravel().astype(np.int64), deep=True),
    )
    mesh.SetPoints(corners)
    mesh.SetPolys(cells)
    normals.SetInputData(mesh)
    normals.Update()
    scene = registration.scene
    node = scene.AddNewNodeByClass("vtkMRMLModelNode", scene.GenerateUniqueName(name))
    node.SetAndObservePolyData(normals.GetOutput())
    node.CreateDefaultDisplayNodes()
    node.SetAndObserveTransformNodeID(registration.ct_transform.GetID())
    return node


#: Of the surface of the CT where bones lie elsewhere: a ghost of where the CT has them.
GHOST_OPACITY = 0.2


def fade_surface(registration: Registration, faded: bool) -> None:
    """Show the surface of the CT translucent, or opaque again."""
    node = registration.node.GetNodeReference(BONES)
    if node is not None:
        node.GetDisplayNode().SetOpacity(GHOST_OPACITY if faded else 1.0)


def surface_is_shown(registration: Registration) -> bool:
    """Return whether the surface of the CT's bone is shown in 3D."""
    node = registration.node.GetNodeReference(BONES)
    return node is not None and bool(node.GetDisplayVisibility())


def show_surface(registration: Registration, shown: bool) -> None:
    """Show or hide the surface, if there is one."""
    node = registration.node.GetNodeReference(BONES)
    if node is not None:
        node.SetDisplayVisibility(shown)


#: One of Slicer's presets; it shows bone and what is filled with contrast agent.
PRESET = "CT-AAA"


def can_show_volume(registration: Registration) -> bool:
    """Return whether there is a CT with voxels and Slicer's volume rendering is available."""
    return _logic() is not None and has_voxels(registration.ct)


def volume_is_shown(registration: Registration) -> bool:
    """Return whether the CT is shown in 3D by volume rendering."""
    display = _volume_display(registration)
    return display is not None and bool(display.GetVisibility())


def show_volume(registration: Registration, shown: bool = True) -> None:
    """Show or hide the CT's volume rendering. The user's settings are kept; the default preset shows bone."""
    if not can_show_volume(registration):
        return
    display = _volume_display(registration)
    if display is None and shown:
        display = _new_volume_display(registration)
    if display is not None:
        display.SetVisibility(shown)


def update_volume(registration: Registration) -> None:
    """Show the selected CT by volume rendering if the previous CT was shown this way."""
    ct = registration.ct
    shown = False
    for made in products_of(registration.node):
        if made.IsA("vtkMRMLVolumeRenderingDisplayNode") and made.GetVolumeNode() is not ct:
            shown |= bool(made.GetVisibility())
            scene = made.GetScene()
            properties = made.GetVolumePropertyNode()
            remove_with_products(made)
            if properties is not None and properties.GetNodeReferenceID(OWNER):
                scene.RemoveNode(properties)
    if shown:
        show_volume(registration)


def _volume_display(registration: Registration):
    """Return the CT's volume rendering display node, created by this module or by another."""
    return (
        _logic().GetFirstVolumeRenderingDisplayNode(registration.ct)
        if can_show_volume(registration)
        else None
    )


def _new_volume_display(registration: Registration):
    logic = _logic()
    display = logic.CreateDefaultVolumeRenderingNodes(registration.ct)
    properties = display.GetVolumePropertyNode()
    preset = logic.GetPresetByName(PRESET) if registration.ct_unit == "hu" else None
    if preset is not None:
        properties.Copy(preset)
    properties.SetHideFromEditors(True)
    for node in (display, properties):  # they go when the registration goes
        node.SetNodeReferenceID(OWNER, registration.node.GetID())
    return display


def _logic():
    """Return the vtkSlicerVolumeRenderingLogic of Slicer's module; None if the module is missing."""
    module = getattr(slicer.modules, "volumerendering", None)
    return module.logic() if module is not None else None


#: The role of the bones' transforms, and of the model of one.
BONE = "bone"
SURFACE = "surface"
#: In the record: the bone that a person has chosen, and those that are no
#: targets.
CHOSEN = "chosenBone"
BESIDE_TARGETS = "bonesBesideTargets"
#: The attribute of a line with the bone that it was given to.
FOLLOWS = "MultiViewRegistration.follows"
#: Points of a line that are looked at to find the bone that it lies in.
POINTS_OF_LINE = 40
#: Places that differ by less, in mm and in the sines of angles, are the same.
SAME_PLACE = 1e-6
#: world_from_ct (4, 4), LPS mm, of the CT, "", and of bones by their names.
Places = dict[str, np.ndarray]


@dataclass(eq=False)
class SceneBone:
    """A bone with a separate pose: a transform node without a parent.

    Attributes
    ----------
    node
        The vtkMRMLLinearTransformNode; its centre of transformation is the bone's centre.
    """

    node: Any

    @property
    def name(self) -> str:
        """Name of the bone."""
        return self.node.GetAttribute(BONE_NAME) or ""

    @property
    def world_from_ct(self) -> np.ndarray:
        """Current pose (4, 4) of the bone, LPS mm."""
        return transform_of(self.node)

    @world_from_ct.setter
    def world_from_ct(self, pose: np.ndarray) -> None:
        set_transform(self.node, pose)

    @property
    def centre_in_ct(self) -> np.ndarray:
        """Centre (3,) of the surface, LPS mm in the CT's frame."""
        return lps_from_ras(self.node.GetCenterOfTransformation())

    @property
    def surface(self) -> Any:
        """The vtkMRMLModelNode of the bone; None before its surface is created."""
        return self.node.GetNodeReference(SURFACE)


def bones_of(registration: Registration) -> dict[str, SceneBone]:
    """Return the bones with separate poses, by name."""
    bones = map(SceneBone, references(registration.node, BONE))
    return {bone.name: bone for bone in bones}


def put_bones(registration: Registration, poses: Places) -> None:
    """Set the poses (4, 4), LPS mm, of these bones, by name; other bones move with the CT.

    Bones with separate CTs are not changed.
    """
    there = bones_of(registration)
    for name in there.keys() - poses.keys() - registration.apart.keys():
        _remove_bone(registration, there.pop(name))
    for name, pose in poses.items():
        bone = there.get(name) or _new(registration, name)
        bone.world_from_ct = pose


def remove_bones_of(registration: Registration, volume: Any) -> None:
    """Remove the surfaces and poses of the bones of a volume that is about to be removed.

    Nodes that the user has put under a bone are moved under the CT's transform.
    """
    there = bones_of(registration)
    gone = {name for name, each in registration.apart.items() if each is volume}
    if volume is registration.ct:
        remove_product(registration.node, BONES)
        gone |= there.keys() - registration.apart.keys()
    for name in gone & there.keys():
        _remove_bone(registration, there[name])


def _remove_bone(registration: Registration, bone: SceneBone) -> None:
    for node in _guests(bone):
        node.SetAndObserveTransformNodeID(registration.ct_transform.GetID())
    remove_with_products(bone.node)


def _new(registration: Registration, name: str) -> SceneBone:
    node = make(registration.node, "vtkMRMLLinearTransformNode", f"{name} to world")
    node.SetAttribute(BONE_NAME, name)
    registration.node.AddNodeReferenceID(BONE, node.GetID())
    return SceneBone(node)


def _guests(bone: SceneBone) -> list:
    """Return the nodes that the user or `follow_bones` has put under a bone."""
    every = nodes_of_class("vtkMRMLTransformableNode", bone.node.GetScene())
    under = [node for node in every if node.GetParentTransformNode() is bone.node]
    return [node for node in under if node is not bone.surface]


def follow_bones(registration: Registration, name_at: Callable[[np.ndarray], str]) -> None:
    """Attach each line drawn in the CT, such as a planned screw, to the bone that contains it.

    Each line is attached only once: a line that the user detaches is not attached again.

    Parameters
    ----------
    name_at
        Returns the name of the bone that contains most of the points (n, 3), LPS mm in the CT's
        frame; "" for none.
    """
    bones = bones_of(registration)
    for node in nodes_of_class("vtkMRMLMarkupsLineNode", registration.scene):
        ends = positions(node, world=False)
        if len(ends) != 2 or node.GetAttribute(FOLLOWS):
            continue
        if node.GetParentTransformNode() is not registration.ct_transform:
            continue
        name = name_at(lps_from_ras(np.linspace(ends[0], ends[1], POINTS_OF_LINE)))
        if name in bones:
            node.SetAttribute(FOLLOWS, name)
            node.SetAndObserveTransformNodeID(bones[name].node.GetID())


def places_of(registration: Registration) -> Places:
    """Return the current poses of CT and bones."""
    bones = bones_of(registration).items()
    return {"": registration.world_from_ct, **{name: bone.world_from_ct for name, bone in bones}}


def same_places(some: Places, others: Places) -> bool:
    """Return whether the poses of CT and bones are equal."""
    return some.keys() == others.keys() and all(
        np.allclose(pose, others[name], rtol=0, atol=SAME_PLACE) for name, pose in some.items()
    )


def put_bone_surface(bone: SceneBone, made: vtkPolyData, colour: Colour) -> None:
    """Show a bone's surface, in the CT's frame, at the bone's pose, in 3D and in slices."""
    model = put_model(bone.node, SURFACE, bone.name, made, bone.node, colour)
    model.GetDisplayNode().SetVisibility2D(True)
    bounds = np.reshape(made.GetBounds(), (3, 2))
    bone.node.SetCenterOfTransformation(*bounds.mean(axis=1))


def colour_surface(bone: SceneBone, colour: Colour) -> None:
    """Set the colour of a bone's surface, if it has a surface."""
    display = bone.surface and bone.surface.GetDisplayNode()
    if display is not None and not np.allclose(display.GetColor(), colour):
        display.SetColor(*colour)


def chosen_bone(registration: Registration) -> str:
    """Return the name of the bone that the user has selected; "" for none."""
    return registration.kept(CHOSEN, "")


def moved_bone(registration: Registration) -> SceneBone | None:
    """Return the bone that the user moves: the selected bone, or the first bone with a separate CT; None if the whole CT is moved."""
    name = chosen_bone(registration) or next(iter(registration.bone_cts), "")
    return bones_of(registration).get(name)


def choose_bone(registration: Registration, name: str) -> None:
    """Select the bone to show and to move; "" for none."""
    registration.keep(CHOSEN, name)


def beside_targets(registration: Registration) -> set[str]:
    """Return the names of the bones that are not targets."""
    return set(registration.kept(BESIDE_TARGETS, []))


def set_target(registration: Registration, name: str, on: bool) -> None:
    """Set whether a bone is a target."""
    beside = beside_targets(registration) - {name} if on else {*beside_targets(registration), name}
    registration.keep(BESIDE_TARGETS, sorted(beside))


def named_bones(registration: Registration) -> dict[str, Colour]:
    """Return the RGB colours (0 to 1) of the bones with separate poses, by name."""
    apart = {name: colour_of(n) for n, name in enumerate(registration.apart)}
    node = registration.segmentation
    chosen = registration.chosen_segments  # none without a segmentation
    segments = segments_of(node) if chosen else {}
    of_segments = {segments[each].GetName(): segments[each].GetColor() for each in chosen}
    return of_segments | apart


def put_apart(registration: Registration, volumes: Mapping[str, Any], poses: Places) -> None:
    """Set the poses (4, 4), LPS mm, of implants or bones with separate CTs; the registration's CT is the first.

    Bodies without a pose are removed from the scene.
    """
    gone = [each for each in registration.apart.values() if each not in volumes.values()]
    for volume in volumes.values():
        if volume.GetScene() is None:  # it was left out before
            registration.scene.AddNode(volume)
            volume.CreateDefaultDisplayNodes()
    registration.apart = volumes
    put_bones(registration, poses)
    there = bones_of(registration)
    for name, volume in volumes.items():
        if volume is not registration.ct:
            volume.SetAndObserveTransformNodeID(there[name].node.GetID())
    for volume in gone:
        remove_with_products(volume)


def shown_ct(registration: Registration) -> Any:
    """Return the volume node shown in slices: the selected bone's separate CT, if any, otherwise the CT."""
    return registration.apart.get(chosen_bone(registration), registration.ct)
