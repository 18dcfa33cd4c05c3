"""Radiotherapy's geometry: an RT Image as the reading of a C-arm, and the planned isocentre.

DICOM PS3.3 C.8.8.2 (RT Image), C.8.8.14 (RT Beams); axes of IEC 61217. The fixed frame has its
origin at the isocentre, Y to the gantry, Z up. The gantry turns about Y, clockwise as seen from
before it, so that its source is up at 0 and at the left of a patient who lies on the back, head
first, at 90 degrees. The patient's support turns about Z, counter-clockwise as seen from above.
The image lies in the receptor, which moves with the gantry: the collimator's angle turns no image.
The world has its origin at the isocentre and the patient's axes (LPS), as that of a C-arm.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry import c_arm, rigid
from ..geometry.fields import C_ARM
from ..imaging.dicom_file import DicomFile, DicomFrame, read_dicom
from .dicom_geometry import (
    IN_IMAGE,
    PATIENT_FROM_TABLE,
    RT_LAID_OUT,
    HeaderGeometry,
    begin_reading,
    length_of,
    pixel_of,
)
from .files import printable

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
    receptor = c_arm.about_axis(2, frame.number("XRayImageReceptorAngle") or 0.0)
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
        @ c_arm.about_axis(2, -support)
        @ c_arm.about_axis(1, gantry)
    )
    primary, secondary, roll = c_arm.angles(world_from_gantry @ camera)
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
