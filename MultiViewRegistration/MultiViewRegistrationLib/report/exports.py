"""Exports that need a result and its case.

The CT in the X-rays' world, simulated X-rays, and the views' cameras.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.body import Body
from ..imaging.ct import CT, Volume
from ..imaging.ct_series import ct_slices
from ..imaging.field import widened
from ..io.case import Case
from ..io.case_file import CaseFile, DicomImage, new_uid
from ..io.dicom_identity import PATIENT, mismatches_of
from ..io.files import describe, printable
from ..io.navigation import POSE_FORMATS
from ..io.placement import ct_box
from ..io.result_json import RegistrationExport
from ..known import without_none
from ..registration.bone import parts_of, placed
from ..registration.prepared_ct import PreparedCT

if TYPE_CHECKING:
    from pydicom import Dataset

    from ..io.navigation.exports import Writers


def files_of(
    exports: Sequence[RegistrationExport],
    kinds: Sequence[str],
    directions: Sequence[str],
    axes: Sequence[str],
    slices: Mapping[str, tuple[DicomImage, ...]],
    case: Case | None,
    volume_format: str,
    identities: Mapping[str, Dataset],
) -> Writers:
    """Return the files of poses by their name, each with what writes it to a path, for `write_together`.

    Parameters
    ----------
    exports
        Each in files of its name.
    kinds
        Of `navigation.POSE_FORMATS` and, with a case, of `CASE_KINDS`, see `case_files`.
    directions, axes
        As of `export_files`.
    slices
        Those of the CT of each body, by its name.
    identities
        For DICOM, by the view's name, see `identities_of`.

    Raises
    ------
    InputError
        As `case_files`, and where a mask is asked for and none of them has one.
    """
    from ..io.navigation.exports import export_files, resampled_mask

    of_pose = [kind for kind in kinds if kind in POSE_FORMATS]
    of_all = next(iter(identities.values()), None)
    files: Writers = {}
    for exported in exports:
        own = slices.get(exported.structure or "", slices.get("", ()))
        of_case = kinds, volume_format, identities, exports
        further = {} if case is None else case_files(exported, case, *of_case)
        told = replace(exported, ct_images=own)
        files |= export_files(told, of_pose, directions, axes, further, of_all)
    if case and "resampled-mask" in kinds and not any("mask_in_" in file for file in files):
        resampled_mask(case.ct, np.eye(4))  # says so before anything is written
    return files


def case_files(
    exported: RegistrationExport,
    case: Case,
    kinds: Sequence[str],
    volume_format: str,
    identities: Mapping[str, Dataset],
    exports: Sequence[RegistrationExport] = (),
) -> Writers:
    """Return files that need the case, as `files_of`.

    Parameters
    ----------
    kinds
        Of `navigation.CASE_KINDS`. "resampled-ct" and "resampled-mask" come as ct_in_world and
        ct_in_reference, where a tracker's frame is known; "cameras" as cameras_in_ct, too, for a
        scene in which the CT lies where its file has it; "drr" as drr_view1.dcm, ... Those of a
        structure are made of it alone, with air about it. No mask comes of what has none.
    volume_format
        One of `navigation.VOLUME_FORMATS`.
    identities
        For DICOM, by the view's name, see `identities_of`.
    exports
        What DRRs of the whole CT show, each at its own pose; itself alone by default.

    Raises
    ------
    InputError
        Where the result is of other views, or of a structure that the case does not have, and for
        cameras of slot scans.
    """
    cameras = cameras_of(exported, case)
    if exported.structure is not None:
        case = replace(case, bodies=(Body(ct_of_structure(case, exported.structure)),))
    files: Writers = {}
    if "resampled-ct" in kinds:
        files |= _volumes("ct", exported, case, volume_format)
    if "resampled-mask" in kinds and case.ct.mask is not None:
        files |= _volumes("mask", exported, case, volume_format)
    if "drr" in kinds:
        beside = () if exported.structure else exports
        places = {each.structure or "": each.world_from_ct for each in beside}
        places[""] = exported.world_from_ct
        files |= _drrs(exported, case, cameras, identities, places)
    if "cameras" in kinds:
        files |= _cameras(exported, case, cameras)
    return files


def ct_of_structure(case: Case, name: str) -> CT:
    """Return the part of the CT about a structure, with its mask, and with air in place of everything else.

    Raises
    ------
    InputError
        For a structure that the case does not have.
    """
    from ..io.navigation.exports import AIR_HU

    for body in case.bodies:
        if body.name == name:
            return body.ct
    structures = case.structures
    if name not in structures.names:
        names = ", ".join(structures.names) or "none"
        raise InputError(
            f"--case: has no structure {describe(name)} (it has {names}), expected the case of "
            "this result; add its labels and structures to the case.json."
        )
    nth = structures.names.index(name)
    mask = structures.mask(nth)
    volume = case.ct.volume
    part = widened(structures.boxes[nth], 1)
    ct_from_index = volume.ct_from_index @ rigid.translation([side.start for side in part[::-1]])
    values = np.where(mask[part], volume.values[part], AIR_HU if case.ct.unit == "hu" else 0)
    return CT(Volume(values, ct_from_index), case.ct.unit, mask[part])


def cameras_of(exported: RegistrationExport, case: Case) -> list[Camera]:
    """Return the cameras of the case's views as the registration left them.

    Raises
    ------
    InputError
        For a view that the result does not have.
    """
    handed = {view.name: view for view in exported.views}
    for view in case.views:
        if view.name not in handed:
            raise InputError(
                f"{printable(exported.path)}: has no view {describe(view.name)}, which the case "
                "has, expected the result of this case; give the one that it was found from."
            )
    return [handed[view.name].corrected(view.camera) for view in case.views]


def identities_of(case: Path) -> dict[str, Dataset]:
    """Return patient and study of the X-rays of a case that are DICOM and say them, by the view's name.

    Where none does they are those of the CT, under "".

    Raises
    ------
    InputError
        Where none does, or CT and X-rays are of several patients and the case does not say
        otherwise.
    """
    from ..io.navigation.dicom_objects import agreed_identity, identity_of

    file = CaseFile.read(case)
    doubts = [each.sentence for each in mismatches_of(file) if each.kind == PATIENT]
    if doubts and not file.same_patient:
        raise InputError(
            f'--identity: {doubts[0].removesuffix(".")}, then add "same_patient": true to the case, or leave --identity out.'
        )
    read = {view.name: identity_of(view.image.path) for view in file.views if view.image}
    identities = without_none(read)
    if not identities:
        ct = file.first.ct.path
        first = ct_slices(ct, file.first.series)[0] if ct.is_dir() else ct
        of_ct = identity_of(first)
        identities = {} if of_ct is None else {"": of_ct}
    if not identities:
        raise InputError(
            f"--identity: no X-ray or CT of {printable(file.path)} is DICOM with a patient and a study, "
            "expected one; leave --identity out."
        )
    agreed_identity(list(identities.values()))
    return identities


def _volumes(what: str, exported: RegistrationExport, case: Case, volume_format: str) -> Writers:
    from ..io.navigation.exports import resampled_ct, resampled_mask, write_volume

    make = resampled_ct if what == "ct" else resampled_mask

    def write(path: Path, name: str, pose: np.ndarray) -> None:
        target = name.split("_")[0]
        whose = "" if exported.structure is None else f" of {exported.structure} alone"
        description = f"The {what}{whose} resampled by {name}, {target} LPS mm."
        write_volume(path, make(case.ct, pose), exported.marked(description))

    files: Writers = {}
    for name, pose in exported.poses.items():
        file = f"{what}_in_{name.split('_')[0]}.{volume_format}"
        files[file] = partial(write, name=name, pose=pose)
    return files


def _drrs(
    exported: RegistrationExport,
    case: Case,
    cameras: list[Camera],
    identities: Mapping[str, Dataset],
    places: Mapping[str, np.ndarray],
) -> Writers:
    from ..io.navigation.dicom_objects import Drr, write_secondary_capture

    anatomy, pose = placed(parts_of(case.bodies, PreparedCT(case.ct), places), places)
    images = {view.name: view.image for view in exported.views}
    study = new_uid()
    series: dict[str, str] = {}

    def write(path: Path, number: int) -> None:
        view = case.views[number - 1]
        camera = cameras[number - 1]
        identity = identities.get(view.name, identities.get(""))
        own_study = study if identity is None else str(identity.StudyInstanceUID)
        image = anatomy.line_integrals(camera, pose)
        write_secondary_capture(
            path,
            Drr(image, number, view.xray.pixel_mm, images[view.name], identity, exported.structure),
            own_study,
            series.setdefault(own_study, new_uid()),
            exported.warning,
        )

    numbers = range(1, len(cameras) + 1)
    return {f"drr_view{number}.dcm": partial(write, number=number) for number in numbers}


def _cameras(exported: RegistrationExport, case: Case, cameras: list[Camera]) -> Writers:
    from ..io.navigation.exports import write_cameras

    for view in case.views:
        if view.camera.is_slot_scan:
            raise InputError(
                f"cameras: {describe(view.name)} is a slot scan, whose source moves from row to "
                "row, which no camera of Slicer's can show, expected X-rays with a single source; "
                "leave cameras out."
            )
    frames = {"world": np.eye(4), "ct": rigid.inverse(exported.world_from_ct)}
    if exported.reference_from_world is not None:
        frames["reference"] = exported.reference_from_world
    middle = np.mean(ct_box(case.ct), axis=0)
    centre = rigid.transform_points(exported.world_from_ct @ case.ct.volume.ct_from_index, middle)
    return {
        f"cameras_in_{frame}.mrml": partial(
            write_cameras,
            cameras=cameras,
            target_from_world=target_from_world,
            centre=centre,
            exported=exported,
        )
        for frame, target_from_world in frames.items()
    }
