"""The geometry of a C-arm view by its DICOM header: values, missing attributes and assumptions (docs/dicom.md)."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from ..geometry import c_arm
from ..imaging.dicom_file import DicomFrame, read_dicom
from ..imaging.dicom_pixels import frame_count

AT_PATIENT = "The isocentre lies at DistanceSourceToPatient from the source."
BY_MAGNIFICATION = "The isocentre lies where EstimatedRadiographicMagnificationFactor holds."
SPACING_AT_ISOCENTRE = "PixelSpacing is that at the isocentre, and the detector's is larger by the magnification there."
BY_BINNING = "A pixel is as large as the DetectorBinning elements of the detector."
HEAD_UP = "Before any turn or flip of its field of view, the image has the patient's head up: it is not turned about the central axis."
QUARTERS = "The image is turned about the central axis by whole quarters, those that PatientOrientation tells."
BY_LETTERS = "The image is mirrored or not as PatientOrientation tells; FieldOfViewHorizontalFlip says the opposite."
IN_IMAGE = "The central axis meets the middle of the image (principal point)."
ON_DETECTOR = "The central axis meets the middle of the physical detector (principal point)."
EXACT = "The header's distances and angles are exact, as rotation_sd_deg and translation_sd_mm are not given."
SAME_TABLE = "The table, and the patient on it, had not moved since the first view: the headers do not tell."
TABLE_MOVED = "The patient had moved with the table since the first view, and not on it."
LEFT_OUT = "What did not fit at an earlier pose, and its mask leaves out, is none of the CT."

ASSUMPTIONS = (
    AT_PATIENT,
    BY_MAGNIFICATION,
    SPACING_AT_ISOCENTRE,
    BY_BINNING,
    HEAD_UP,
    QUARTERS,
    BY_LETTERS,
    IN_IMAGE,
    ON_DETECTOR,
    EXACT,
    SAME_TABLE,
    TABLE_MOVED,
    LEFT_OUT,
)


@dataclass(eq=False)
class HeaderGeometry:
    """A reading as it is put together.

    Attributes
    ----------
    values
        By the keys of a case.json's c_arm, plain numbers and lists.
    missing
        The keys that are not known, each with the attributes that would say it, or why what they say cannot be
        used.
    assumptions
        A sentence each.
    patient_from_isocentre
        (3, 3) the patient's axes (LPS) from those of the machine; None where the header does not say how he lies.
    table
        What kind of position it is, and (3,) that of the table along the machine's axes in mm; None where the
        header does not say it.
    machine
        The maker's number of the machine, "" for none; only ever compared.
    """

    values: dict[str, Any] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    assumptions: list[str] = field(default_factory=list)
    patient_from_isocentre: np.ndarray | None = None
    table: tuple[str, np.ndarray] | None = None
    machine: str = ""

    def needs(self, key: str) -> bool:
        """Whether this key is still unknown."""
        return key not in self.values

    def report_missing(self, key: str, why: str) -> None:
        if self.needs(key):
            self.missing[key] = why


GEOMETRY, PROPERTIES, DETECTOR = (
    "XRayGeometrySequence",
    "FramePixelDataPropertiesSequence",
    "FrameDetectorParametersSequence",
)
#: By which share two attributes that say the same may differ.
ROUNDING = 0.01
MIN_MM, MAX_MM = 1.0, 1e4


def find_distances(geometry: HeaderGeometry, frame: DicomFrame) -> None:
    """source_to_detector_mm and source_to_isocentre_mm."""
    if geometry.needs("source_to_detector_mm"):
        _length(geometry, frame, "source_to_detector_mm", "DistanceSourceToDetector")
    if geometry.needs("source_to_isocentre_mm"):
        _isocentre(geometry, frame)


def _isocentre(geometry: HeaderGeometry, frame: DicomFrame) -> None:
    key, to_detector = "source_to_isocentre_mm", geometry.values.get("source_to_detector_mm")
    if frame.number("DistanceSourceToIsocenter", GEOMETRY):
        name, assumption = "DistanceSourceToIsocenter", ""
        _length(geometry, frame, key, name)
    elif frame.number("DistanceSourceToPatient", GEOMETRY):
        name, assumption = "DistanceSourceToPatient", AT_PATIENT
        _length(geometry, frame, key, name)
    else:
        name = "EstimatedRadiographicMagnificationFactor"
        assumption = BY_MAGNIFICATION
        factor = frame.number(name)
        if not factor or to_detector is None:
            geometry.report_missing(key, "DistanceSourceToPatient")
        elif factor <= 1:
            geometry.report_missing(key, f"DistanceSourceToPatient; {name} is {factor:g}, which is not above 1")
        else:
            geometry.values[key] = to_detector / factor
    if key in geometry.values:
        if to_detector is not None and geometry.values[key] >= to_detector:
            geometry.missing[key] = (
                f"{name} is {geometry.values.pop(key):g} mm, not less than the {to_detector:g} mm from source to detector"
            )
        elif assumption:
            geometry.assumptions.append(assumption)


def _length(geometry: HeaderGeometry, frame: DicomFrame, key: str, name: str) -> None:
    length = frame.number(name, GEOMETRY)
    if not length:
        geometry.report_missing(key, name)
    elif not MIN_MM <= length <= MAX_MM:
        geometry.report_missing(key, f"{name} is {length:g} mm")
    else:
        geometry.values[key] = length


def find_pixel(geometry: HeaderGeometry, frame: DicomFrame) -> None:
    """pixel_mm, at the detector."""
    if not geometry.needs("pixel_mm"):
        return
    imager, element = frame.numbers("ImagerPixelSpacing", PROPERTIES), elements_per_pixel_mm(frame)
    if len(imager):
        why = _contradiction(frame, imager, element)
        if why:
            geometry.report_missing("pixel_mm", why)
        else:
            geometry.values["pixel_mm"] = imager[::-1].tolist()
        return
    spacing = frame.numbers("PixelSpacing")
    distances = [geometry.values.get(key) for key in ("source_to_detector_mm", "source_to_isocentre_mm")]
    if _are_sizes(spacing) and frame.text("PixelSpacingCalibrationType") == "GEOMETRY" and all(distances):
        geometry.values["pixel_mm"] = (spacing[::-1] * distances[0] / distances[1]).tolist()
        geometry.assumptions.append(SPACING_AT_ISOCENTRE)
    elif element is not None:
        geometry.values["pixel_mm"] = element[::-1].tolist()
        geometry.assumptions.append(BY_BINNING)
    else:
        at_unknown = "; PixelSpacing does not say at which distance from the source it holds" if len(spacing) else ""
        geometry.report_missing("pixel_mm", f"ImagerPixelSpacing{at_unknown}")


def elements_per_pixel_mm(frame: DicomFrame) -> np.ndarray | None:
    """(rows, columns): what DetectorBinning elements measure; None where the header does not say it."""
    element, binning = frame.numbers("DetectorElementSpacing"), frame.numbers("DetectorBinning", DETECTOR)
    return element * binning if _are_sizes(element) and _are_sizes(binning) else None


def _contradiction(frame: DicomFrame, imager: np.ndarray, element: np.ndarray | None) -> str:
    """Why the spacing cannot be true, "" where nothing speaks against it."""
    claim = f"ImagerPixelSpacing is {_pair(imager)} mm"
    if not _are_sizes(imager):
        return f"{claim}, expected two sizes above 0"
    spacing, ratio = frame.numbers("PixelSpacing"), frame.numbers("PixelAspectRatio")
    if len(spacing) == 2 and (spacing > (1 + ROUNDING) * imager).any():
        return f"{claim}, but PixelSpacing, nearer to the source, is {_pair(spacing)} mm"
    if _are_sizes(ratio) and abs(imager[0] * ratio[1] / (imager[1] * ratio[0]) - 1) > ROUNDING:
        return f"{claim}, but PixelAspectRatio is {_pair(ratio, ':')}"
    if element is not None and np.abs(imager / element - 1).max() > ROUNDING:
        return f"{claim}, but DetectorElementSpacing times DetectorBinning is {_pair(element)} mm"
    return ""


def _are_sizes(numbers: np.ndarray) -> bool:
    return len(numbers) == 2 and numbers.min() > 0 and numbers.max() < MAX_MM


def _pair(numbers: np.ndarray, between: str = " x ") -> str:
    return between.join(f"{number:g}" for number in numbers)


POSITIONER, ISOCENTRE = "PositionerPositionSequence", "IsocenterReferenceSystemSequence"
#: By PatientPosition: the patient's left, back and head along the table's axes, to its left, down and to its head (PS3.17 FFF.1.2.2).
PATIENT_FROM_TABLE = {
    "HFS": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "HFP": [[-1, 0, 0], [0, -1, 0], [0, 0, 1]],
    "HFDR": [[0, -1, 0], [1, 0, 0], [0, 0, 1]],
    "HFDL": [[0, 1, 0], [-1, 0, 0], [0, 0, 1]],
    "FFS": [[-1, 0, 0], [0, 1, 0], [0, 0, -1]],
    "FFP": [[1, 0, 0], [0, -1, 0], [0, 0, -1]],
    "FFDR": [[0, -1, 0], [-1, 0, 0], [0, 0, -1]],
    "FFDL": [[0, 1, 0], [1, 0, 0], [0, 0, -1]],
}
#: Of each angle: its attribute and the largest that it may be, either way.
ANGLES = {"rao_lao_deg": ("PositionerPrimaryAngle", 180.0), "cra_cau_deg": ("PositionerSecondaryAngle", 90.0)}


def find_patient(geometry: HeaderGeometry, frame: DicomFrame) -> None:
    """How the patient lies along the machine's axes: left, down and to the head of the table where that stands straight."""
    position = PATIENT_FROM_TABLE.get(frame.text("PatientPosition"))
    if position is None:
        return
    turns = (("TableHorizontalRotationAngle", 1, 1), ("TableHeadTiltAngle", 0, 1), ("TableCradleTiltAngle", 2, -1))
    isocentre_from_table = np.eye(3)
    for name, axis, sign in turns:
        isocentre_from_table = isocentre_from_table @ c_arm.about_axis(
            axis, sign * (frame.number(name, ISOCENTRE) or 0.0)
        )
    geometry.patient_from_isocentre = np.array(position, float) @ isocentre_from_table.T


def find_angles(geometry: HeaderGeometry, frame: DicomFrame) -> float | None:
    """rao_lao_deg and cra_cau_deg: the patient's. How far the detector is turned about the beam as it stands, as roll_deg; None where the
    header does not say it."""
    angles = [
        frame.number(name, ISOCENTRE)
        for name in (
            "PositionerIsocenterPrimaryAngle",
            "PositionerIsocenterSecondaryAngle",
            "PositionerIsocenterDetectorRotationAngle",
        )
    ]
    in_isocentre = None not in angles
    if (
        in_isocentre
        and geometry.patient_from_isocentre is not None
        and geometry.needs("rao_lao_deg")
        and geometry.needs("cra_cau_deg")
    ):
        primary, secondary, rotation = angles
        if abs(primary) > 180 or abs(secondary) > 90 or abs(rotation) > 180:
            why = f"its isocentre's angles of {primary:g}, {secondary:g} and {rotation:g} degrees are out of range"
            geometry.report_missing("rao_lao_deg", why)
            geometry.report_missing("cra_cau_deg", why)
            return None
        turned = c_arm.rotation(primary, secondary) @ c_arm.about_axis(2, rotation)
        geometry.values["rao_lao_deg"], geometry.values["cra_cau_deg"], roll = c_arm.angles(
            geometry.patient_from_isocentre @ turned
        )
        return float(roll)
    for key, (name, largest) in ANGLES.items():
        if not geometry.needs(key):
            continue
        start = frame.number(name, POSITIONER)
        if start is None:
            geometry.report_missing(
                key,
                f"{name}, or PatientPosition for {name.replace('Positioner', 'PositionerIsocenter')}"
                if in_isocentre
                else name,
            )
        elif abs(start) > largest:
            geometry.report_missing(key, f"{name} is {start:g} degrees, beyond {largest:g}")
        else:
            _add_increment(geometry, frame, key, start)
    return None


def _add_increment(geometry: HeaderGeometry, frame: DicomFrame, key: str, start: float) -> None:
    """The angle of the frame in a run that turns: one step for all frames, or a list of how far each is from the start."""
    name, largest = ANGLES[key]
    increments, count = frame.numbers(f"{name}Increment"), frame_count(frame.file)
    angle = start
    if len(increments) == count > 1:
        angle += increments[frame.index]
    elif len(increments) == 1:
        angle += frame.index * increments[0]
    elif len(increments):
        geometry.report_missing(key, f"{name}Increment has {len(increments)} values for {count} frames")
        return
    elif frame.index and frame.text("PositionerMotion") == "DYNAMIC" and frame.group(POSITIONER) is None:
        geometry.report_missing(key, f"{name}Increment, as the positioner moves")
        return
    if largest == 180:
        angle = (angle + 180) % 360 - 180 if abs(angle) > 180 else angle
    if abs(angle) > largest:
        geometry.report_missing(key, f"{name} with {name}Increment is {angle:g} degrees, beyond {largest:g}")
        return
    geometry.values[key] = float(angle)


FIELD = "FieldOfViewSequence"
LETTERS = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "H": (0, 0, 1), "F": (0, 0, -1)}
#: How well the letters of PatientOrientation must fit the angles: the sum of two cosines, and how much better than mirrored.
MIN_FIT, MIN_FIT_MARGIN = 1.2, 0.4


def field_of_view(frame: DicomFrame) -> tuple[int, bool | None]:
    """Clockwise degrees and horizontal flip of the stored image against the detector, None where the header does not say it."""
    flip = {"YES": True, "NO": False}.get(frame.text("FieldOfViewHorizontalFlip", FIELD))
    turn = frame.number("FieldOfViewRotation", FIELD) or 0.0
    if turn % 90 or not 0 <= turn < 360:
        frame.file.refuse(
            f"its FieldOfViewRotation is {turn:g}, expected 0, 90, 180 or 270 degrees; export the file again."
        )
    return int(turn), flip


def find_orientation(geometry: HeaderGeometry, frame: DicomFrame, detector_roll: float | None) -> None:
    """mirrored and roll_deg.

    The detector's own rows and columns are as seen from behind it, looking to the source (C.8.19.6.13.1.2): an image that is not flipped
    is mirrored. A turn to the right there is one to the left as the source sees it.

    Parameters
    ----------
    detector_roll
        How the detector is turned about the beam, as `find_angles` says it.
    """
    letters = _letters(frame.texts("PatientOrientation", "PatientOrientationInFrameSequence"))
    turn, flip = field_of_view(frame)
    angles = [geometry.values.get(key) for key in ("rao_lao_deg", "cra_cau_deg")]
    if letters is not None and None in angles:
        return  # they will tell once there are angles
    fitting = None if letters is None else _fitting(letters, *angles, geometry.values.get("mirrored"))
    by_field = None if flip is None else not flip
    contradicted = fitting is not None and by_field is not None and fitting[1] != by_field
    if geometry.needs("mirrored"):
        if letters is not None and fitting is None:
            geometry.report_missing("mirrored", "PatientOrientation does not fit the angles")
        elif fitting is not None:
            geometry.assumptions += [BY_LETTERS] if contradicted else []
            geometry.values["mirrored"] = fitting[1]
        elif by_field is not None:
            geometry.values["mirrored"] = by_field
        else:
            geometry.report_missing("mirrored", "PatientOrientation or FieldOfViewHorizontalFlip")
    if not geometry.needs("roll_deg"):
        return
    if detector_roll is not None and flip is not None and not contradicted:
        roll, assumption = detector_roll - turn, ""
    elif fitting is not None:
        roll, assumption = fitting[0], QUARTERS
    else:
        roll, assumption = (detector_roll or 0.0) - turn, HEAD_UP if detector_roll is None else ""
    geometry.assumptions += [assumption] if assumption else []
    roll = (roll + 180) % 360 - 180
    if abs(roll) > 1e-9:
        geometry.values["roll_deg"] = float(roll)


def _letters(texts: list[str]) -> np.ndarray | None:
    """(2, 3): unit vectors, LPS, of where rows and columns run, by letters of which the first counts most; None for no such letters."""
    if len(texts) != 2 or not all(texts) or any(letter not in LETTERS for text in texts for letter in text):
        return None
    ways = np.array(
        [sum(np.array(LETTERS[letter], float) / 2**nth for nth, letter in enumerate(text)) for text in texts]
    )
    lengths = np.linalg.norm(ways, axis=1)
    return None if lengths.min() < 0.5 else ways / lengths[:, None]


def _fitting(letters: np.ndarray, rao_lao: float, cra_cau: float, mirrored: bool | None) -> tuple[float, bool] | None:
    """The quarter turns, as roll_deg, and whether mirrored, with which rows and columns run by the letters; None where nothing does."""
    fits = {}
    for roll, mirror in product((0.0, 90.0, 180.0, -90.0), (False, True)):
        axes = (c_arm.rotation(rao_lao, cra_cau) @ c_arm.about_axis(2, -roll)).T[:2]
        axes[0] *= -1 if mirror else 1
        fits[roll, mirror] = float((axes * letters).sum())
    if mirrored is not None:
        return max((key for key in fits if key[1] == mirrored), key=fits.get)
    best = max(fits, key=fits.get)
    other = max(fit for key, fit in fits.items() if key[1] != best[1])
    return best if fits[best] >= MIN_FIT and fits[best] - other >= MIN_FIT_MARGIN else None


def find_principal_point(geometry: HeaderGeometry, frame: DicomFrame) -> None:
    """principal_point, where the header says what part of the detector is stored; else it is left to be the middle."""
    if not geometry.needs("principal_point"):
        return
    origin, element = frame.numbers("FieldOfViewOrigin", FIELD), frame.numbers("DetectorElementSpacing")
    projection, size = frame.numbers("PositionOfIsocenterProjection"), frame.numbers("PhysicalDetectorSize")
    per_pixel = _elements_per_pixel(geometry, frame, element)
    if len(origin) == 2 and per_pixel is not None:
        if len(projection) == 2:
            geometry.values["principal_point"] = _in_image(geometry, frame, projection, origin, per_pixel)
            return
        if len(size) == 2 and len(element) == 2 and size.min() > 0:
            geometry.values["principal_point"] = _in_image(geometry, frame, size / element / 2 - 0.5, origin, per_pixel)
            geometry.assumptions.append(ON_DETECTOR)
            return
    geometry.assumptions.append(IN_IMAGE)


def _elements_per_pixel(geometry: HeaderGeometry, frame: DicomFrame, element: np.ndarray) -> np.ndarray | None:
    """(rows, columns) of the detector for a pixel of the field of view, before it is turned."""
    if "pixel_mm" in geometry.values and len(element) == 2 and element.min() > 0:
        pixel = np.array(geometry.values["pixel_mm"])[::-1]
        return (pixel[::-1] if field_of_view(frame)[0] % 180 else pixel) / element
    binning = frame.numbers("DetectorBinning", DETECTOR)
    return binning if len(binning) == 2 and binning.min() > 0 else None


def _in_image(
    geometry: HeaderGeometry, frame: DicomFrame, at: np.ndarray, origin: np.ndarray, per_pixel: np.ndarray
) -> list[float]:
    """[column, row] of the stored image for a place (row, column) on the detector, counted from the centre of its first element."""
    row, column = (at - origin + 0.5) / per_pixel - 0.5
    columns, rows = geometry.values["size"]
    turn, flip = field_of_view(frame)
    if turn == 90:  # to the right: what was at the bottom is at the left
        column, row = columns - 1 - row, column
    elif turn == 180:
        column, row = columns - 1 - column, rows - 1 - row
    elif turn == 270:
        column, row = row, rows - 1 - column
    return [float(columns - 1 - column if flip else column), float(row)]


POSITION = "TablePositionSequence"
#: Attributes along the machine's axes, which run to the left, down, and to the head of the table. In DICOM a table's longitudinal way is
#: to the patient's left, and its lateral way to the head.
TO_ISOCENTRE = ("TableXPositionToIsocenter", "TableYPositionToIsocenter", "TableZPositionToIsocenter")
TABLE_TOP = ("TableTopLongitudinalPosition", "TableTopVerticalPosition", "TableTopLateralPosition")
INCREMENTS = ("TableLongitudinalIncrement", "TableVerticalIncrement", "TableLateralIncrement")


def find_table(geometry: HeaderGeometry, frame: DicomFrame) -> None:
    """Where the table stands, by the first of these that the header has."""
    for names, group in ((TO_ISOCENTRE, ISOCENTRE), (TABLE_TOP, POSITION)):
        position = [frame.number(name, group) for name in names]
        if None not in position:
            geometry.table = names[0], np.array(position)
            return
    steps = [_increment(frame, name) for name in INCREMENTS]
    if None not in steps:
        geometry.table = f"{INCREMENTS[0]} of {frame.file.text('SOPInstanceUID')}", np.array(steps)


def _increment(frame: DicomFrame, name: str) -> float | None:
    """How far the table has moved since the first frame: a value for each, or a step."""
    values = frame.numbers(name)
    if len(values) == frame_count(frame.file):
        return float(values[frame.index])
    return float(frame.index * values[0]) if len(values) == 1 else None


#: What a view needs to be placed, in the order of its report.
NEEDED = ("source_to_detector_mm", "source_to_isocentre_mm", "pixel_mm", "rao_lao_deg", "cra_cau_deg", "mirrored")
PAIRS = ("pixel_mm", "size", "principal_point", "isocentre_offset_mm")
NUMBERS = ("source_to_detector_mm", "source_to_isocentre_mm", "rao_lao_deg", "cra_cau_deg", "roll_deg")


def read_header(
    path: str | os.PathLike, frame: int | None = None, given: dict[str, Any] | None = None
) -> HeaderGeometry | None:
    """What the header of a DICOM X-ray says of how a frame, from 0, was taken; None for another file.

    Nothing is assumed but what `assumptions` tells.

    Parameters
    ----------
    given
        What is known better, by the keys of a case.json's c_arm; of these, what is no such value is left to its
        reader to refuse.

    Raises
    ------
    InputError
        For a header that is damaged.
    """
    file = read_dicom(path)
    if file is None:
        return None
    given = {key: value for key, value in (given or {}).items() if _is_value(key, value)}
    count, index = frame_count(file), frame or 0
    if not 0 <= index < count:
        file.refuse(f"frame {index} is asked for, but it has {count}; give a frame from 0 to {count - 1}.")
    header = DicomFrame(file, index)
    geometry = HeaderGeometry(dict(given), machine=str(file.value("DeviceSerialNumber") or "").strip())
    geometry.values.setdefault("size", [file.whole("Columns", 0), file.whole("Rows", 0)])
    find_patient(geometry, header)
    find_distances(geometry, header)
    find_pixel(geometry, header)
    roll = find_angles(geometry, header)
    find_orientation(geometry, header, roll)
    find_principal_point(geometry, header)
    find_table(geometry, header)
    geometry.missing = {key: geometry.missing[key] for key in NEEDED if key in geometry.missing}
    return geometry


def _is_value(key: str, value: Any) -> bool:
    if key == "mirrored":
        return isinstance(value, bool)
    if key in PAIRS:
        return (
            isinstance(value, (list, tuple, np.ndarray))
            and len(value) == 2
            and all(_is_number(part) for part in value)
            and (key not in ("pixel_mm", "size") or min(value) > 0)
        )
    return key in NUMBERS and _is_number(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9 and math.isfinite(value)
