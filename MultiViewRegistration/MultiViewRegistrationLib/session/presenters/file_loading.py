"""Reading of files in a thread, and the restoration of a registration to which they cannot be added."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError, UnitMismatch, collect_warnings, warn
from ...imaging import ct as imaging_ct
from ...imaging.body import Structures
from ...imaging.segmentation import read_segments
from ...io.case_file import CaseFile
from ...io.dicom_identity import read_identity, study_name, view_identity
from ...io.recognise import CASE, CT, XRAY, RecognisedFile, of_kind, prefer, recognise, whole_files
from ...mrml.identity import CTHeader, Identity, header_of_ct
from ...mrml.nodes import nodes_of_class, remove_with_products
from ...mrml.registration import MAX_VIEWS, Registration
from ...mrml.xray_record import name_of
from ...translation import _
from ..adding import Scouts, XRayFile, read_scouts, read_xray
from .file_question import OpenXRay


@dataclass(frozen=True, eq=False)
class Content:
    """Recognised files, with the X-rays read.

    Attributes
    ----------
    files
        The files; an X-ray that cannot be read has a problem.
    xrays
        The X-rays by their files.
    identities
        Patient identity of each image, see `read_identity`.
    """

    files: tuple[RecognisedFile, ...]
    xrays: Mapping[Path, XRayFile]
    identities: list[Identity]

    @property
    def open_xrays(self) -> tuple[OpenXRay, ...]:
        """The X-rays as the question needs them."""
        return tuple(
            OpenXRay(str(path), xray.record.name, xray.size, not xray.header_has_geometry)
            for path, xray in self.xrays.items()
        )


def inspect(paths: Iterable[Path], preferred: str) -> Content:
    """Recognise files, and read the X-rays among them, in any thread.

    Parameters
    ----------
    preferred
        Kind that the user chose the files as; "" if they were dropped.

    Raises
    ------
    InputError
        For too many files.
    """
    files = prefer(recognise(paths), preferred)
    if wholes := whole_files(files):
        return Content(tuple(files), {}, _identities_of_cases(of_kind(wholes, CASE)))
    xrays = of_kind(files, XRAY)
    if len(xrays) > MAX_VIEWS:
        raise InputError(
            _("{count} X-rays were found, but at most {most} can be used. Choose some of them."),
            count=len(xrays),
            most=MAX_VIEWS,
        )
    read_files: dict[Path, XRayFile] = {}

    def readable(file: RecognisedFile) -> RecognisedFile:
        """Return an X-ray once it is read; one that cannot be read with its problem."""
        try:
            read_files[file.path] = read_xray(file.path)
        except InputError as error:
            return RecognisedFile(file.paths, problem=str(error))
        return file

    usable = [readable(file) if file.kinds == (XRAY,) else file for file in files]
    images = [file for file in usable if {CT, XRAY} & {*file.kinds}]
    return Content(tuple(usable), read_files, [read_identity(file.path) for file in images])


def _identities_of_cases(files: Iterable[RecognisedFile]) -> list[Identity]:
    found = []
    for file in files:
        try:
            with collect_warnings():
                case = CaseFile.read(file.path)
        except InputError:  # reported when the case is opened
            continue
        found += [view_identity(case, view) for view in case.views]
    return found


@dataclass(frozen=True, eq=False)
class LoadedCT:
    """A CT with everything that takes long to read.

    Attributes
    ----------
    voxels
        Its values as they are stored in the scene.
    """

    ct: imaging_ct.CT
    name: str
    voxels: np.ndarray
    centre: np.ndarray
    header: CTHeader
    scouts: Scouts | None


def load_ct(file: RecognisedFile, unit: str) -> LoadedCT:
    """Read a CT, in any thread; with the other unit, and a warning, if its values cannot be of this one.

    Raises
    ------
    InputError
        For a CT that cannot be used.
    """
    try:
        ct = imaging_ct.load_ct(file.source, unit)
    except UnitMismatch as mismatch:
        ct = imaging_ct.load_ct(file.source, mismatch.unit)
        what = _('{problem} It was read with the unit "{unit}".')
        warn(what.format(problem=mismatch, unit=mismatch.unit))
    scouts = read_scouts(file.path) if len(file.paths) > 1 else None
    name = study_name(file.path, name_of(Path(file.public_name or _("CT")))) or _("CT")
    voxels = imaging_ct.whole_numbers(ct.volume.values)
    return LoadedCT(ct, name, voxels, ct.centroid(), header_of_ct(file.paths), scouts)


def read_segmentation(path: Path, ct: imaging_ct.CT) -> Structures | np.ndarray:
    """Return the structures in a file, or a mask on the grid of the CT, in any thread."""
    bones = read_segments(path, ct)
    return bones or imaging_ct.load_mask(path, ct.volume.ct_from_index, ct.volume.values.shape)


@contextmanager
def all_or_nothing(registration: Registration) -> Iterator[None]:
    """Restore the registration if the block raises an error.

    Its CT, segment, pose, parameters and X-rays are restored, and nodes that were added are removed.
    """
    nodes = registration.scene.GetNodes()
    before = {nodes.GetItemAsObject(n).GetID() for n in range(nodes.GetNumberOfItems())}
    parameters = {
        name: registration.parameter(name) for name in registration.node.GetParameterNames()
    }
    ct, segment = registration.ct, (registration.segmentation, registration.segment_id)
    records = [(view, view.record) for view in registration.xrays]
    pose = registration.world_from_ct
    try:
        yield
    except Exception:
        registration.choose_segment(None)
        registration.ct = ct
        registration.choose_segment(*segment)
        for view in registration.xrays:
            if view.id not in before:
                registration.remove_xray(view)
        for added in _added_since(registration, before):
            remove_with_products(added)
        for view, record in records:
            view.record = record
        registration.world_from_ct = pose
        for name, value in parameters.items():
            registration.node.SetParameter(name, value)
        raise


def _added_since(registration: Registration, before: set[str]) -> Iterator[Any]:
    """Yield the volumes, segmentations and models that are new in the scene."""
    for kind in ("vtkMRMLVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLModelNode"):
        for node in nodes_of_class(kind, registration.scene):
            if node.GetID() not in before:
                yield node
