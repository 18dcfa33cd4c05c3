"""X-rays whose geometry the headers of their DICOM images say, all of it or what a case leaves out; RT Images."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry import machines, rigid
from ..geometry.fields import C_ARM, TABLES
from ..imaging.dicom_file import DicomFile, DicomFrame, read_dicom
from . import dicom_geometry, localizer
from .dicom_geometry import (
    IN_IMAGE,
    PATIENT_FROM_TABLE,
    RT_LAID_OUT,
    HeaderGeometry,
    begin_reading,
    length_of,
    pixel_of,
)
from .files import describe, printable
from .isocentre import HOW_TO_ADD, share_isocentres
from .localizer import is_eos
from .view_record import Readings, ViewRecord


def by_header(view: ViewRecord) -> ViewRecord:
    """Return the record, with readings of no values yet where nothing is said of its geometry.

    They are of a slot scan if its image is one, else of a C-arm.
    """
    if view.geometry is not None:
        return view
    file = read_dicom(view.image_path)
    return replace(
        view,
        geometry=Readings("slot_scan" if file and localizer.is_slot_scan(file) else "c_arm", {}),
    )


def header_of(view: ViewRecord) -> HeaderGeometry | None:
    """Return what the header of its image says of a record with `Readings`, which hold where they are given; None for another image.

    Raises
    ------
    InputError
        For a header that is damaged.
    """
    if view.kind == "slot_scan":
        return localizer.read_slot_scan(view.image_path, view.readings)
    return read_c_arm(view.image_path, view.frame, view.readings)


def read_c_arm(
    path: str | os.PathLike, frame: int | None = None, given: dict[str, Any] | None = None
) -> HeaderGeometry | None:
    """Return what the header of an X-ray of a C-arm, or of an RT Image, says; None for another image.

    Parameters and errors as of `dicom_geometry.read_header`.
    """
    file = read_dicom(path)
    found = file and read_rt_image(file, frame, given)
    return found or dicom_geometry.read_header(path, frame, given)


def missing_readings(view: ViewRecord) -> dict[str, str]:
    """Return the readings that are not known, each with the DICOM attributes that would say it, "" for another image."""
    if not view.has_gaps:
        return {}
    if header := header_of(view):
        return header.missing
    asked = [key for key, field in TABLES[view.kind].items() if field.asked]
    return {key: "" for key in asked if key not in view.readings}


def complete_by_headers(file: str, views: list[ViewRecord], remedy: str = "") -> list[ViewRecord]:
    """Return the records, complete by the headers of their images.

    Parameters
    ----------
    file
        What messages begin with.
    remedy
        What the caller can do if a header lacks a value; by default what to add to a case.json.

    Raises
    ------
    InputError
        For what is missing in the headers too, and X-rays that do not share a world.
    """
    views = [by_header(view) for view in views]
    scans, c_arms = (
        [view for view in views if view.kind == kind and view.has_gaps] for kind in EXPECTED
    )
    found_scans, found_c_arms = (
        [header_of(view) or HeaderGeometry() for view in each] for each in (scans, c_arms)
    )
    _refuse_gaps(file, scans, found_scans, remedy)
    localizer.check_worlds(file, scans, found_scans)
    eos = next((view for view in scans if is_eos(read_dicom(view.image_path))), None)
    if eos and c_arms:
        other = c_arms[0]
        raise InputError(
            f"{file}: {eos.field} ({describe(eos.name)}) is an EOS image and {other.field} "
            f"({describe(other.name)}) is not, whose headers place them in different worlds, "
            "expected X-rays of one machine; leave one out, or give one its geometry in the world "
            "of the other."
        )
    _refuse_gaps(file, c_arms, found_c_arms, remedy)
    share_isocentres(file, c_arms, found_c_arms, remedy or HOW_TO_ADD)
    found = dict(zip(map(id, (*scans, *c_arms)), (*found_scans, *found_c_arms)))
    for n, view in enumerate(views):
        if header := found.get(id(view)):
            views[n] = view.completed(file, header.values, header.assumptions)
    return views


#: By the kind of geometry: what a header is expected to say, and how else it is given.
EXPECTED = {
    "slot_scan": ("the geometry of a slot scan", localizer.HOW_TO_ADD),
    "c_arm": ("all readings of a C-arm", HOW_TO_ADD),
}


def _refuse_gaps(
    file: str, views: list[ViewRecord], found: list[HeaderGeometry], remedy: str
) -> None:
    gaps = []
    for view, header in zip(views, found):
        if header.missing:
            missing = ", ".join(f"{key} ({why})" for key, why in header.missing.items())
            gaps.append(f"{view.field} ({describe(view.name)}) is missing {missing}")
    if gaps:
        expected, how = EXPECTED[views[0].kind]
        raise InputError(
            f"{file}: {'; '.join(gaps)} in its DICOM header, expected {expected}; {remedy or how}."
        )


#: The table's axes to its left, down and to its head from those of IEC 61217, Y to the gantry.
TABLE_FROM_IEC = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
#: Isocentres nearer to each other are one.
SAME_MM = 0.1
TABLE_TILTS = ("TableTopPitchAngle", "TableTopRollAngle")


def read_rt_image(
    file: DicomFile, frame: int | None = None, given: dict[str, Any] | None = None
) -> HeaderGeometry | None:
    """Read the geometry of an RT Image; None for another file.

    Parameters
    ----------
    frame, given
        As of `dicom_geometry.read_header`.

    Raises
    ------
    InputError
        For a header that is damaged.
    """
    if file.text("Modality") != "RTIMAGE":
        return None
    header, geometry = begin_reading(file, frame, given)
    _find_readings(geometry, header)
    isocentre = header.numbers("IsocenterPosition")
    if len(isocentre) == 3:  # along the patient's axes: the patient moves the other way
        geometry.stand.table = ["IsocenterPosition", (-isocentre).tolist()]
        geometry.stand.patient = np.eye(3).tolist()
    return geometry.sorted_by(C_ARM)


def _find_readings(geometry: HeaderGeometry, frame: DicomFrame) -> None:
    """Find all readings of a C-arm."""
    geometry.put("source_to_detector_mm", length_of(frame, "RTImageSID"))
    geometry.put("source_to_isocentre_mm", length_of(frame, "RadiationMachineSAD"))
    name = "ImagePlanePixelSpacing"
    geometry.put("pixel_mm", pixel_of(frame.numbers(name), name))
    gantry = frame.number("GantryAngle")
    patient = PATIENT_FROM_TABLE.get(frame.text("PatientPosition"))
    plane = frame.text("RTImagePlane")
    tilts = [frame.number(name) or 0.0 for name in TABLE_TILTS]
    why = ""
    if gantry is None:
        why = "GantryAngle"
    elif patient is None:
        why = "PatientPosition"
    elif plane not in ("", "NORMAL"):
        why = f"RTImagePlane is {plane}, expected NORMAL"
    elif any(abs(tilt % 360) > 1e-6 for tilt in tilts):
        why = f"{TABLE_TILTS[0]} and {TABLE_TILTS[1]} are {tilts[0]:g} and {tilts[1]:g}, expected 0"
    if why:
        for key in ("rao_lao_deg", "cra_cau_deg", "mirrored"):
            geometry.put(key, why)
        return
    assert gantry is not None
    # Columns: where rows and columns of the image run, and to the source; axes of the gantry.
    receptor = machines.about_axis(2, frame.number("XRayImageReceptorAngle") or 0.0)
    cosines = frame.numbers("RTImageOrientation")
    assumed = [] if len(cosines) == 6 else [RT_LAID_OUT]
    along, down = cosines.reshape(2, 3) if len(cosines) == 6 else np.eye(3)[:2] * [[1], [-1]]
    along = receptor @ along
    down = receptor @ down
    up = np.array([0.0, 0, 1])
    mirrored = bool(np.cross(along, down) @ up > 0)
    camera = np.stack([-along if mirrored else along, down, -up], axis=1)
    support = frame.number("PatientSupportAngle") or 0.0
    world_from_gantry = (
        np.array(patient, float)
        @ TABLE_FROM_IEC
        @ machines.about_axis(2, -support)
        @ machines.about_axis(1, gantry)
    )
    primary, secondary, roll = machines.angles(world_from_gantry @ camera)
    geometry.put("rao_lao_deg", float(primary), *assumed)
    geometry.put("cra_cau_deg", float(secondary))
    geometry.put("mirrored", mirrored)
    if abs(roll) > 1e-9:
        geometry.values.setdefault("roll_deg", float(roll))
    _find_principal_point(geometry, frame, np.stack([along, down])[:, :2], receptor)


def _find_principal_point(
    geometry: HeaderGeometry, frame: DicomFrame, axes: np.ndarray, receptor: np.ndarray
) -> None:
    """Find the pixel in which the central axis ends, from the place of the first pixel.

    Parameters
    ----------
    axes
        (2, 2) where rows and columns run, in X and Y of the gantry.
    receptor
        (3, 3) the gantry's axes from the receptor's.
    """
    if "principal_point" in geometry.values:
        return
    first = frame.numbers("RTImagePosition")
    pixel_mm = geometry.values.get("pixel_mm")
    if len(first) != 2 or pixel_mm is None:
        geometry.assumptions.append(IN_IMAGE)
        return
    moved = frame.numbers("XRayImageReceptorTranslation")
    corner = receptor[:2, :2] @ first + (moved[:2] if len(moved) == 3 else 0.0)
    geometry.values["principal_point"] = (axes @ -corner / pixel_mm).tolist()


def planned_pose(path: str | Path) -> np.ndarray:
    """Return world_from_ct (4, 4) as an RT Plan, or an RT Image, has it: the isocentre at the world's origin.

    Raises
    ------
    InputError
        For another file, and for a plan with no isocentre or with several.
    """
    file = read_dicom(path)
    if file is None or file.text("Modality") not in ("RTPLAN", "RTIMAGE"):
        raise InputError(
            f"{printable(str(path))}: is no RT Plan and no RT Image in DICOM, expected one with the "
            "planned isocentre; choose another file."
        )
    found = [file.numbers("IsocenterPosition")]
    for beam in [*file.items("BeamSequence"), *file.items("IonBeamSequence")]:
        for name in ("ControlPointSequence", "IonControlPointSequence"):
            found += [file.numbers("IsocenterPosition", one) for one in file.items(name, beam)]
    isocentres = [each for each in found if len(each) == 3]
    if not isocentres:
        file.refuse(
            "has no IsocenterPosition, expected that of a beam; export the plan again, or give "
            "the start pose as a transform."
        )
    apart = max(np.linalg.norm(each - isocentres[0]) for each in isocentres)
    if apart > SAME_MM:
        file.refuse(
            f"its beams have isocentres up to {apart:.1f} mm apart, expected one; export the plan "
            "of those beams whose images these are."
        )
    return rigid.translation(-isocentres[0])
