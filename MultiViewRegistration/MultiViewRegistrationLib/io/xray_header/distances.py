"""Distances and the size of a pixel (PS3.3 C.8.7.5, C.8.7.6, C.8.19.6.4, C.8.19.6.14, 10.7.1)."""

from __future__ import annotations

import numpy as np

from ...imaging.dicom_frame import DicomFrame
from .assumptions import AT_PATIENT, BY_BINNING, BY_MAGNIFICATION, SPACING_AT_ISOCENTRE
from .found import Found

GEOMETRY, PROPERTIES, DETECTOR = (
    "XRayGeometrySequence",
    "FramePixelDataPropertiesSequence",
    "FrameDetectorParametersSequence",
)
#: By which share two attributes that say the same may differ.
ROUNDING = 0.01
SHORTEST_MM, LONGEST_MM = 1.0, 1e4


def find_distances(found: Found, frame: DicomFrame) -> None:
    """source_to_detector_mm and source_to_isocentre_mm."""
    if found.needs("source_to_detector_mm"):
        _length(found, frame, "source_to_detector_mm", "DistanceSourceToDetector")
    if found.needs("source_to_isocentre_mm"):
        _isocentre(found, frame)


def _isocentre(found: Found, frame: DicomFrame) -> None:
    key, to_detector = "source_to_isocentre_mm", found.values.get("source_to_detector_mm")
    if frame.number("DistanceSourceToIsocenter", GEOMETRY):
        name, told = "DistanceSourceToIsocenter", ""
        _length(found, frame, key, name)
    elif frame.number("DistanceSourceToPatient", GEOMETRY):
        name, told = "DistanceSourceToPatient", AT_PATIENT
        _length(found, frame, key, name)
    else:
        name = "EstimatedRadiographicMagnificationFactor"
        told = BY_MAGNIFICATION
        factor = frame.number(name)
        if not factor or to_detector is None:
            found.lack(key, "DistanceSourceToPatient")
        elif factor <= 1:
            found.lack(key, f"DistanceSourceToPatient; {name} is {factor:g}, which is not above 1")
        else:
            found.values[key] = to_detector / factor
    if key in found.values:
        if to_detector is not None and found.values[key] >= to_detector:
            found.lacking[key] = (
                f"{name} is {found.values.pop(key):g} mm, not less than the {to_detector:g} mm from source to detector"
            )
        elif told:
            found.assumptions.append(told)


def _length(found: Found, frame: DicomFrame, key: str, name: str) -> None:
    length = frame.number(name, GEOMETRY)
    if not length:
        found.lack(key, name)
    elif not SHORTEST_MM <= length <= LONGEST_MM:
        found.lack(key, f"{name} is {length:g} mm")
    else:
        found.values[key] = length


def find_pixel(found: Found, frame: DicomFrame) -> None:
    """pixel_mm, at the detector."""
    if not found.needs("pixel_mm"):
        return
    imager, element = frame.numbers("ImagerPixelSpacing", PROPERTIES), elements_per_pixel_mm(frame)
    if len(imager):
        why = _contradiction(frame, imager, element)
        if why:
            found.lack("pixel_mm", why)
        else:
            found.values["pixel_mm"] = imager[::-1].tolist()
        return
    spacing = frame.numbers("PixelSpacing")
    distances = [found.values.get(key) for key in ("source_to_detector_mm", "source_to_isocentre_mm")]
    if _are_sizes(spacing) and frame.text("PixelSpacingCalibrationType") == "GEOMETRY" and all(distances):
        found.values["pixel_mm"] = (spacing[::-1] * distances[0] / distances[1]).tolist()
        found.assumptions.append(SPACING_AT_ISOCENTRE)
    elif element is not None:
        found.values["pixel_mm"] = element[::-1].tolist()
        found.assumptions.append(BY_BINNING)
    else:
        at_unknown = "; PixelSpacing does not say at which distance from the source it holds" if len(spacing) else ""
        found.lack("pixel_mm", f"ImagerPixelSpacing{at_unknown}")


def elements_per_pixel_mm(frame: DicomFrame) -> np.ndarray | None:
    """(rows, columns): what DetectorBinning elements measure; None where the header does not say it."""
    element, binning = frame.numbers("DetectorElementSpacing"), frame.numbers("DetectorBinning", DETECTOR)
    return element * binning if _are_sizes(element) and _are_sizes(binning) else None


def _contradiction(frame: DicomFrame, imager: np.ndarray, element: np.ndarray | None) -> str:
    """Why the spacing cannot be true, "" where nothing speaks against it."""
    told = f"ImagerPixelSpacing is {_pair(imager)} mm"
    if not _are_sizes(imager):
        return f"{told}, expected two sizes above 0"
    spacing, ratio = frame.numbers("PixelSpacing"), frame.numbers("PixelAspectRatio")
    if len(spacing) == 2 and (spacing > (1 + ROUNDING) * imager).any():
        return f"{told}, but PixelSpacing, nearer to the source, is {_pair(spacing)} mm"
    if _are_sizes(ratio) and abs(imager[0] * ratio[1] / (imager[1] * ratio[0]) - 1) > ROUNDING:
        return f"{told}, but PixelAspectRatio is {_pair(ratio, ':')}"
    if element is not None and np.abs(imager / element - 1).max() > ROUNDING:
        return f"{told}, but DetectorElementSpacing times DetectorBinning is {_pair(element)} mm"
    return ""


def _are_sizes(numbers: np.ndarray) -> bool:
    return len(numbers) == 2 and numbers.min() > 0 and numbers.max() < LONGEST_MM


def _pair(numbers: np.ndarray, between: str = " x ") -> str:
    return between.join(f"{number:g}" for number in numbers)
