"""The geometry of images of an EOS slot scanner by their DICOM headers (docs/dicom.md has the sources).

A frontal and a lateral tube go down together beside a standing patient, their beams at right
angles. Facing the frontal tube, he has the lateral one at his left.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from ..imaging.dicom_file import DicomFile, DicomFrame
from .dicom_geometry import (
    EOS_AT_ISOCENTRE,
    EOS_FAN,
    EOS_LATERAL,
    EOS_TOGETHER,
    EOS_WORLD,
    IN_IMAGE,
    LETTERS,
    HeaderGeometry,
    are_sizes,
    distance_to_isocentre,
)

#: The first word of Manufacturer, the second its name until 2010; and ManufacturerModelName.
MAKERS = ("EOS", "BIOSPACE")
MODELS = ("EOS", "EOSEDGE")
#: Where the frontal tube is, by ViewPosition.
FRONTAL_TUBE = {"AP": [0.0, -1.0, 0.0], "PA": [0.0, 1.0, 0.0]}
#: Attributes that may call an image frontal or lateral, and how.
PLANE_SAID_BY = ("ImageComments", "ViewPosition", "SeriesDescription")
PLANES = {"frontal": r"\b(FRONTAL|AP|PA)\b", "lateral": r"\b(LATERAL|LAT|LL|RL)\b"}
#: Two images of one scan cover the same rows; what rounding leaves.
SAME_HEIGHT_MM = 1.0
#: ImagerPixelSpacing and PixelSpacing that differ by less than this share are the same.
SAME_SPACING = 1e-3


def is_eos(file: DicomFile | None) -> bool:
    """Return whether a file is DICOM, and by an EOS scanner."""
    if file is None:
        return False
    maker = file.text("Manufacturer").split()[:1]
    return bool(maker and maker[0] in MAKERS) or file.text("ManufacturerModelName") in MODELS


def find_eos(geometry: HeaderGeometry, file: DicomFile) -> None:
    """Find the keys of a slot_scan, see `localizer.read_slot_scan`.

    Its world has the origin where the middle planes of both beams cross, at the height of the
    middle row, and the patient's axes (LPS). A key that follows from missing ones is not among the
    `missing`.
    """
    frame = DicomFrame(file)
    geometry.assumptions += [EOS_WORLD, EOS_TOGETHER]
    _find_axes(geometry, file)
    geometry.put(
        "source_to_isocentre_mm",
        *distance_to_isocentre(frame, frame.number("DistanceSourceToDetector")),
    )
    geometry.put("pixel_mm", *_pixel_mm(file))
    if {"columns_along", "rows_along"} <= geometry.values.keys():
        geometry.put("isocentre_to_source", *_to_source(geometry.values, file))
    if {"rows_along", "pixel_mm"} <= geometry.values.keys():
        along = np.array(geometry.values["rows_along"], float)
        half_mm = (geometry.values["size"][1] - 1) / 2 * geometry.values["pixel_mm"][1]
        geometry.put(
            "isocentre", (-half_mm * along / (np.linalg.norm(along) or 1.0) + 0.0).tolist()
        )
    for key, assumed in (("central_column", IN_IMAGE), ("fan", EOS_FAN)):
        geometry.assumptions += [] if key in geometry.values else [assumed]


def _find_axes(geometry: HeaderGeometry, file: DicomFile) -> None:
    """Find columns_along and rows_along, by the first letter of each direction.

    The patient stands square to the beams, or nearly.
    """
    letters = [LETTERS.get(text[:1]) for text in file.texts("PatientOrientation")]
    said = _plane(file)
    if len(letters) != 2 or letters[0] is None or letters[1] is None:
        why = f"PatientOrientation{f'; its header calls it {said}' if said else ''}"
    elif letters[0][2] or not letters[1][2]:
        why = "PatientOrientation has its rows not along the patient"
    elif said and said != (is_plane := "frontal" if letters[0][0] else "lateral"):
        why = f"PatientOrientation is that of a {is_plane} image, but its header calls it {said}"
    else:
        geometry.put("columns_along", list(map(float, letters[0])))
        geometry.put("rows_along", list(map(float, letters[1])))
        return
    geometry.put("columns_along", why)
    geometry.put("rows_along", why)


def _plane(file: DicomFile) -> str:
    """Return "frontal" or "lateral", as the first attribute that tells calls it; "" for none."""
    for keyword in PLANE_SAID_BY:
        found = [plane for plane, words in PLANES.items() if re.search(words, file.text(keyword))]
        if len(found) == 1:
            return found[0]
    return ""


def _pixel_mm(file: DicomFile) -> tuple:
    """Return the pixel size at the isocentre, as `HeaderGeometry.put` takes it.

    That on the detector says nothing of how far the scanner moves from row to row.
    """
    spacing = file.numbers("PixelSpacing")
    imager = file.numbers("ImagerPixelSpacing")
    if not are_sizes(spacing):
        return (
            "PixelSpacing; ImagerPixelSpacing is that on the detector"
            if len(imager)
            else "PixelSpacing",
        )
    if len(imager) == 2 and np.allclose(spacing, imager, rtol=SAME_SPACING, atol=0):
        return ("PixelSpacing is the same as ImagerPixelSpacing, that on the detector",)
    return spacing[::-1].tolist(), EOS_AT_ISOCENTRE


def _to_source(values: dict[str, Any], file: DicomFile) -> tuple:
    """Return the direction from the isocentre to the source, as `HeaderGeometry.put` takes it.

    A frontal image from behind may be stored mirrored, as one from the front looks: only its view
    tells.
    """
    columns = np.array(values["columns_along"], float)
    if abs(columns[1]) > abs(columns[0]):
        return (np.cross(values["rows_along"], columns) + 0.0).tolist(), EOS_LATERAL
    view = file.text("ViewPosition")
    if view in FRONTAL_TUBE:
        return (FRONTAL_TUBE[view],)
    return (
        "ViewPosition, AP or PA: where the tube is, [0, -1, 0] in front of the patient and [0, 1, "
        "0] behind",
    )


def scan_of(file: DicomFile) -> str:
    """Return what EOS images have in common that share a world, and no other image has.

    Their study.
    """
    return f"EOS {file.value('StudyInstanceUID') or ''}"


def mismatch(one: Mapping[str, Any], other: Mapping[str, Any], given: Collection[str] = ()) -> str:
    """Return why two slot_scans cannot be those of one EOS scan, "" where they can.

    Parameters
    ----------
    given
        Keys that are not by a header in one of the two: they count as they are.
    """
    heights = [each["size"][1] * each["pixel_mm"][1] for each in (one, other)]
    if "isocentre" not in given and abs(heights[0] - heights[1]) > SAME_HEIGHT_MM:
        return (
            f"their rows cover {heights[0]:.0f} and {heights[1]:.0f} mm of the patient, and how "
            "they lie to each other is not told (isocentre)"
        )
    if (
        not all("isocentre_to_source" in each for each in (one, other))
        or "isocentre_to_source" in given
    ):
        return ""
    tubes = np.array([each["isocentre_to_source"] for each in (one, other)], float)
    frontal, lateral = tubes if abs(tubes[0, 1]) > abs(tubes[0, 0]) else tubes[::-1]
    if np.cross([0, 0, 1], frontal) @ lateral < 0:
        return (
            "a patient who faces the frontal tube has the lateral one at his left, but by "
            "ViewPosition and PatientOrientation it is at the other side (isocentre_to_source)"
        )
    return ""
