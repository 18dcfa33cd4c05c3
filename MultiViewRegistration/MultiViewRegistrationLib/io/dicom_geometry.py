"""The geometry of C-arm views by their DICOM headers.

Values, missing attributes and assumptions (docs/dicom.md).

Several views are one machine's, in whose isocentre the patient lay at the first of them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from ..geometry import machines
from ..geometry.fields import C_ARM, Table
from ..imaging.dicom_file import DicomFile, DicomFrame, read_dicom
from ..imaging.dicom_image import frame_count, requested_frame
from .isocentre import SAME_TABLE, TABLE_MOVED, Stand
from .view_record import LEFT_OUT

AT_PATIENT = "The isocentre lies at DistanceSourceToPatient from the source."
BY_MAGNIFICATION = "The isocentre lies where EstimatedRadiographicMagnificationFactor holds."
SPACING_AT_ISOCENTRE = "PixelSpacing is that at the isocentre, and the detector's is larger by the magnification there."
BY_BINNING = "A pixel is as large as the DetectorBinning elements of the detector."
HEAD_UP = "Before any turn or flip of its field of view, the image has the patient's head up: it is not turned about the central axis."
QUARTERS = (
    "The image is turned about the central axis by whole quarters, as PatientOrientation says."
)
BY_LETTERS = "The patient's right is on the left of the image or not as PatientOrientation says; FieldOfViewHorizontalFlip differs."
IN_IMAGE = "The central axis meets the middle of the image (principal point)."
ON_DETECTOR = "The central axis meets the middle of the physical detector (principal point)."
#: What is assumed of CT localizers, see `localizer`.
ACROSS_AT_ISOCENTRE = "PixelSpacing across a localizer is that at the isocentre, in whose plane ImagePositionPatient lies."
FLAT_FAN = "The columns of a localizer are at equal distances on a plane, not at equal angles."
BENT_FAN = (
    "The columns of a localizer by Philips are at equal angles, not at equal distances on a plane."
)
BY_TUBE_ANGLE = "The tube is above the table at 0 degrees and at the table's right side, as seen from its foot, at 90."
FAR_SIDE = "The tube is on the far side of the patient as displayed: behind one seen from the front, left of one seen from the right."
#: What is assumed of EOS images, see `localizer`.
EOS_WORLD = (
    "The world of an EOS image has its origin where the middle planes of the frontal and the "
    "lateral beam cross, at the height of the middle row, and the axes of a patient who stands "
    "square to them, as PatientOrientation says."
)
EOS_TOGETHER = "EOS images of one study and height are of one scan, their rows at the same heights to tenths of a millimetre."
EOS_AT_ISOCENTRE = "PixelSpacing across an EOS image is that at the isocentre; along the scan it holds at any depth."
EOS_FAN = "The columns of an EOS image are at equal distances on a plane, not at equal angles."
EOS_LATERAL = "A lateral EOS image is stored as its tube sees it: the tube is at the patient's left where columns run to his back."
#: Of RT Images.
RT_LAID_OUT = (
    "The rows of an RT Image run along X of its receptor (IEC 61217), its columns against Y."
)

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
    SAME_TABLE,
    TABLE_MOVED,
    ACROSS_AT_ISOCENTRE,
    FLAT_FAN,
    BENT_FAN,
    BY_TUBE_ANGLE,
    FAR_SIDE,
    EOS_WORLD,
    EOS_TOGETHER,
    EOS_AT_ISOCENTRE,
    EOS_FAN,
    EOS_LATERAL,
    RT_LAID_OUT,
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
        The keys that are not known, each with the attributes that would say it, or why what they
        say cannot be used.
    assumptions
        A sentence each.
    stand
        How patient and table lay to the machine.
    """

    values: dict[str, Any] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    assumptions: list[str] = field(default_factory=list)
    stand: Stand = field(default_factory=Stand)

    def put(self, key: str, found: Any, *assumptions: str) -> None:
        """Set a key that is still unknown.

        To a value, with what is assumed for it, or as missing for the reason in a text.
        """
        if key in self.values:
            return
        if isinstance(found, str):
            self.missing[key] = found
        else:
            self.values[key] = found
            self.assumptions += assumptions

    def sorted_by(self, table: Table) -> HeaderGeometry:
        """Return it with what is missing in the order of a table, and nothing else."""
        self.missing = {key: self.missing[key] for key in table if key in self.missing}
        return self


GEOMETRY = "XRayGeometrySequence"
PROPERTIES = "FramePixelDataPropertiesSequence"
DETECTOR = "FrameDetectorParametersSequence"
#: By which share two attributes that say the same may differ.
ROUNDING = 0.01
MIN_MM = 1.0
MAX_MM = 1e4


def find_distances(geometry: HeaderGeometry, frame: DicomFrame) -> None:
    """Find source_to_detector_mm and source_to_isocentre_mm."""
    geometry.put("source_to_detector_mm", length_of(frame, "DistanceSourceToDetector"))
    geometry.put(
        "source_to_isocentre_mm",
        *distance_to_isocentre(frame, geometry.values.get("source_to_detector_mm")),
    )


def distance_to_isocentre(frame: DicomFrame, to_detector: float | None) -> tuple:
    """Return the distance from source to isocentre as `HeaderGeometry.put` takes it.

    Parameters
    ----------
    to_detector
        From the source, mm; None where it is unknown.
    """
    depth: float | str
    name = (
        "DistanceSourceToIsocenter"
        if frame.number("DistanceSourceToIsocenter", GEOMETRY)
        else "DistanceSourceToPatient"
    )
    assumed = [AT_PATIENT] if name == "DistanceSourceToPatient" else []
    if frame.number(name, GEOMETRY):
        depth = length_of(frame, name)
    else:
        name = "EstimatedRadiographicMagnificationFactor"
        assumed = [BY_MAGNIFICATION]
        factor = frame.number(name)
        if not factor or to_detector is None:
            return ("DistanceSourceToPatient",)
        if factor <= 1:
            return (f"DistanceSourceToPatient; {name} is {factor:g}, which is not above 1",)
        depth = to_detector / factor
    if to_detector is not None and not isinstance(depth, str) and depth >= to_detector:
        return (
            f"{name} is {depth:g} mm, not less than the {to_detector:g} mm from source to detector",
        )
    return depth, *assumed


def length_of(frame: DicomFrame, name: str) -> float | str:
    """Return a length in mm as `HeaderGeometry.put` takes it."""
    length = frame.number(name, GEOMETRY)
    if not length:
        return name
    return length if MIN_MM <= length <= MAX_MM else f"{name} is {length:g} mm"


def _pixel_mm(frame: DicomFrame, values: dict[str, Any]) -> tuple:
    """Return the pixel size at the detector, as `HeaderGeometry.put` takes it."""
    imager = frame.numbers("ImagerPixelSpacing", PROPERTIES)
    element = _elements_per_pixel_mm(frame)
    if len(imager):
        return (_contradiction(frame, imager, element) or imager[::-1].tolist(),)
    spacing = frame.numbers("PixelSpacing")
    distances = [values.get(key) for key in ("source_to_detector_mm", "source_to_isocentre_mm")]
    if (
        are_sizes(spacing)
        and frame.text("PixelSpacingCalibrationType") == "GEOMETRY"
        and all(distances)
    ):
        return (spacing[::-1] * distances[0] / distances[1]).tolist(), SPACING_AT_ISOCENTRE
    if element is not None:
        return element[::-1].tolist(), BY_BINNING
    at_unknown = (
        "; PixelSpacing does not say at which distance from the source it holds"
        if len(spacing)
        else ""
    )
    return (f"ImagerPixelSpacing{at_unknown}",)


def _elements_per_pixel_mm(frame: DicomFrame) -> np.ndarray | None:
    """Return the mm (rows, columns) that DetectorBinning elements measure.

    None where the header does not say it.
    """
    element = frame.numbers("DetectorElementSpacing")
    binning = frame.numbers("DetectorBinning", DETECTOR)
    return element * binning if are_sizes(element) and are_sizes(binning) else None


def _contradiction(frame: DicomFrame, imager: np.ndarray, element: np.ndarray | None) -> str:
    """Return why the spacing cannot be true, "" where it can."""
    claim = f"ImagerPixelSpacing is {_pair(imager)} mm"
    if not are_sizes(imager):
        return f"{claim}, expected two sizes above 0"
    spacing = frame.numbers("PixelSpacing")
    ratio = frame.numbers("PixelAspectRatio")
    if len(spacing) == 2 and (spacing > (1 + ROUNDING) * imager).any():
        return f"{claim}, but PixelSpacing, nearer to the source, is {_pair(spacing)} mm"
    if are_sizes(ratio) and abs(imager[0] * ratio[1] / (imager[1] * ratio[0]) - 1) > ROUNDING:
        return f"{claim}, but PixelAspectRatio is {_pair(ratio, ':')}"
    if element is not None and np.abs(imager / element - 1).max() > ROUNDING:
        return f"{claim}, but DetectorElementSpacing times DetectorBinning is {_pair(element)} mm"
    return ""


def are_sizes(numbers: np.ndarray) -> bool:
    """Return whether these are the sizes of a pixel, mm or any other."""
    return len(numbers) == 2 and numbers.min() > 0 and numbers.max() < MAX_MM


def pixel_of(spacing: np.ndarray, name: str) -> list[float] | str:
    """Return the pixel size of a spacing (rows, columns) as `HeaderGeometry.put` takes it, the attribute's name for none."""
    return spacing[::-1].tolist() if are_sizes(spacing) else name


def _pair(numbers: np.ndarray, between: str = " x ") -> str:
    return between.join(f"{number:g}" for number in numbers)


POSITIONER = "PositionerPositionSequence"
ISOCENTRE = "IsocenterReferenceSystemSequence"
#: By PatientPosition: the patient's left, back and head along the table's axes, to its left, down
#: and to its head (PS3.17 FFF.1.2.2).
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
#: Attribute of each angle, and the largest that it may be, either way.
ANGLES = {
    "rao_lao_deg": ("PositionerPrimaryAngle", 180.0),
    "cra_cau_deg": ("PositionerSecondaryAngle", 90.0),
}


def find_patient(geometry: HeaderGeometry, frame: DicomFrame) -> None:
    """Find the patient's orientation along the machine's axes.

    Left, down and to the head of the table where that stands straight.
    """
    position = PATIENT_FROM_TABLE.get(frame.text("PatientPosition"))
    if position is None:
        return
    turns = (
        ("TableHorizontalRotationAngle", 1, 1),
        ("TableHeadTiltAngle", 0, 1),
        ("TableCradleTiltAngle", 2, -1),
    )
    isocentre_from_table = np.eye(3)
    for name, axis, sign in turns:
        isocentre_from_table = isocentre_from_table @ machines.about_axis(
            axis, sign * (frame.number(name, ISOCENTRE) or 0.0)
        )
    geometry.stand.patient = (np.array(position, float) @ isocentre_from_table.T).tolist()


def find_angles(geometry: HeaderGeometry, frame: DicomFrame) -> float | None:
    """Find rao_lao_deg and cra_cau_deg, those of the patient.

    Returns
    -------
    float or None
        How far the detector is turned about the beam as it stands, as roll_deg; None where the
        header does not say it.
    """
    names = ("PrimaryAngle", "SecondaryAngle", "DetectorRotationAngle")
    in_isocentre = [frame.number(f"PositionerIsocenter{name}", ISOCENTRE) for name in names]
    complete = None not in in_isocentre
    known = [angle for angle in in_isocentre if angle is not None]
    if (
        complete
        and geometry.stand.patient is not None
        and not ANGLES.keys() & geometry.values.keys()
    ):
        primary, secondary, rotation = known
        if abs(primary) > 180 or abs(secondary) > 90 or abs(rotation) > 180:
            why = f"its isocentre's angles of {primary:g}, {secondary:g} and {rotation:g} degrees are out of range"
            for key in ANGLES:
                geometry.put(key, why)
            return None
        turned = machines.rotation(primary, secondary) @ machines.about_axis(2, rotation)
        geometry.values["rao_lao_deg"], geometry.values["cra_cau_deg"], roll = machines.angles(
            np.array(geometry.stand.patient) @ turned
        )
        return float(roll)
    for key, (name, largest) in ANGLES.items():
        geometry.put(key, _angle(frame, name, largest, complete))
    return None


def _angle(frame: DicomFrame, name: str, largest: float, in_isocentre: bool) -> float | str:
    """Return the angle of the frame, or why there is none.

    In a run that turns there is one step for all frames, or a list of how far each is from the
    start.
    """
    angle = frame.number(name, POSITIONER)
    if angle is None:
        isocentre = name.replace("Positioner", "PositionerIsocenter")
        return f"{name}, or PatientPosition for {isocentre}" if in_isocentre else name
    if abs(angle) > largest:
        return f"{name} is {angle:g} degrees, beyond {largest:g}"
    increments = frame.numbers(f"{name}Increment")
    count = frame_count(frame.file)
    if len(increments) == count > 1:
        angle += increments[frame.index]
    elif len(increments) == 1:
        angle += frame.index * increments[0]
    elif len(increments):
        return f"{name}Increment has {len(increments)} values for {count} frames"
    elif (
        frame.index
        and frame.text("PositionerMotion") == "DYNAMIC"
        and frame.group(POSITIONER) is None
    ):
        return f"{name}Increment, as the positioner moves"
    if largest == 180 and abs(angle) > 180:
        angle = (angle + 180) % 360 - 180
    return (
        float(angle)
        if abs(angle) <= largest
        else f"{name} with {name}Increment is {angle:g} degrees, beyond 90"
    )


FIELD = "FieldOfViewSequence"
LETTERS = {
    "L": (1, 0, 0),
    "R": (-1, 0, 0),
    "P": (0, 1, 0),
    "A": (0, -1, 0),
    "H": (0, 0, 1),
    "F": (0, 0, -1),
}
#: How well the letters of PatientOrientation must fit the angles: the sum of two cosines, and how
#: much better than mirrored.
MIN_FIT = 1.2
MIN_FIT_MARGIN = 0.4


def _field_of_view(frame: DicomFrame) -> tuple[int, bool | None]:
    """Return clockwise degrees and horizontal flip of the stored image against the detector, None where the header does not say it."""
    flip = {"YES": True, "NO": False}.get(frame.text("FieldOfViewHorizontalFlip", FIELD))
    turn = frame.number("FieldOfViewRotation", FIELD) or 0.0
    if turn % 90 or not 0 <= turn < 360:
        frame.file.refuse(
            f"its FieldOfViewRotation is {turn:g}, expected 0, 90, 180 or 270 degrees; export the "
            "file again."
        )
    return int(turn), flip


def find_orientation(
    geometry: HeaderGeometry, frame: DicomFrame, detector_roll: float | None
) -> None:
    """Find mirrored and roll_deg.

    The detector's own rows and columns are as seen from behind it, looking to the source
    (C.8.19.6.13.1.2): an image that is not flipped is mirrored. A turn to the right there is one to
    the left as the source sees it.

    Parameters
    ----------
    detector_roll
        How the detector is turned about the beam, as `find_angles` says it.
    """
    letters = _letters(frame.texts("PatientOrientation", "PatientOrientationInFrameSequence"))
    turn, flip = _field_of_view(frame)
    angles = [geometry.values[key] for key in ANGLES if key in geometry.values]
    if letters is not None and len(angles) < len(ANGLES):
        return  # known once there are angles
    fitting = (
        None if letters is None else _fitting(letters, angles, geometry.values.get("mirrored"))
    )
    contradicted = fitting is not None and flip is not None and fitting[1] == flip
    if fitting is not None:
        geometry.put("mirrored", fitting[1], *([BY_LETTERS] if contradicted else []))
    elif letters is not None:
        geometry.put("mirrored", "PatientOrientation does not fit the angles")
    else:
        geometry.put(
            "mirrored",
            "PatientOrientation or FieldOfViewHorizontalFlip" if flip is None else not flip,
        )
    if "roll_deg" in geometry.values:
        return
    if detector_roll is not None and flip is not None and not contradicted:
        roll = detector_roll - turn
    elif fitting is not None:
        roll = fitting[0]
        geometry.assumptions.append(QUARTERS)
    else:
        roll = (detector_roll or 0.0) - turn
        geometry.assumptions += [HEAD_UP] if detector_roll is None else []
    roll = (roll + 180) % 360 - 180
    if abs(roll) > 1e-9:
        geometry.values["roll_deg"] = float(roll)


def _letters(texts: list[str]) -> np.ndarray | None:
    """Return unit vectors (2, 3), LPS, of where rows and columns run, by letters, the first counts most; None for no such letters."""
    if len(texts) != 2 or not all(texts) or not set("".join(texts)) <= LETTERS.keys():
        return None
    directions = np.zeros((2, 3))
    for direction, text in zip(directions, texts):
        for nth, letter in enumerate(text):
            direction += np.array(LETTERS[letter]) / 2**nth
    lengths = np.linalg.norm(directions, axis=1)
    return None if lengths.min() < 0.5 else directions / lengths[:, None]


def _fitting(
    letters: np.ndarray, angles: list[float], mirrored: bool | None
) -> tuple[float, bool] | None:
    """Return the quarter turns, as roll_deg, and whether mirrored, with which rows and columns run by the letters; None for none."""
    fits = {}
    for roll, mirror in product((0.0, 90.0, 180.0, -90.0), (False, True)):
        axes = (machines.rotation(*angles) @ machines.about_axis(2, -roll)).T[:2]
        axes[0] *= -1 if mirror else 1
        fits[roll, mirror] = float((axes * letters).sum())
    if mirrored is not None:
        return max((key for key in fits if key[1] == mirrored), key=lambda key: fits[key])
    best = max(fits, key=lambda key: fits[key])
    other = max(fit for key, fit in fits.items() if key[1] != best[1])
    return best if fits[best] >= MIN_FIT and fits[best] - other >= MIN_FIT_MARGIN else None


def _principal_point(frame: DicomFrame, values: dict[str, Any]) -> tuple[list[float] | None, str]:
    """Return the principal point by the stored part of the detector, and the assumption for it.

    None for the middle.
    """
    origin = frame.numbers("FieldOfViewOrigin", FIELD)
    element = frame.numbers("DetectorElementSpacing")
    at = frame.numbers("PositionOfIsocenterProjection")
    size = frame.numbers("PhysicalDetectorSize")
    known = len(element) == 2 and element.min() > 0
    binning = frame.numbers("DetectorBinning", DETECTOR)
    turn, flip = _field_of_view(frame)
    per_pixel = (
        binning if len(binning) == 2 and binning.min() > 0 else None
    )  # (rows, columns), before it is turned
    if known and "pixel_mm" in values:
        per_pixel = np.array(values["pixel_mm"])[:: 1 if turn % 180 else -1] / element
    assumed = ""
    if len(at) != 2 and known and len(size) == 2 and size.min() > 0:
        at = size / element / 2 - 0.5
        assumed = ON_DETECTOR
    if len(origin) != 2 or per_pixel is None or len(at) != 2:
        return None, IN_IMAGE
    row, column = (
        (at - origin + 0.5) / per_pixel - 0.5
    )  # from the centre of the detector's first element to that of the first pixel
    columns, rows = values["size"]
    if turn == 90:  # to the right: what was at the bottom is at the left
        column, row = columns - 1 - row, column
    elif turn == 180:
        column = columns - 1 - column
        row = rows - 1 - row
    elif turn == 270:
        column, row = row, rows - 1 - column
    return [float(columns - 1 - column if flip else column), float(row)], assumed


POSITION = "TablePositionSequence"
#: Attributes along the machine's axes, which run to the left, down, and to the head of the table.
#: In DICOM a table's longitudinal way is to the patient's left, and its lateral way to the head.
TO_ISOCENTRE = (
    "TableXPositionToIsocenter",
    "TableYPositionToIsocenter",
    "TableZPositionToIsocenter",
)
TABLE_TOP = ("TableTopLongitudinalPosition", "TableTopVerticalPosition", "TableTopLateralPosition")
INCREMENTS = ("TableLongitudinalIncrement", "TableVerticalIncrement", "TableLateralIncrement")


def find_table(geometry: HeaderGeometry, frame: DicomFrame) -> None:
    """Find the table's position, by the first of these that the header has."""
    for names, group in ((TO_ISOCENTRE, ISOCENTRE), (TABLE_TOP, POSITION)):
        position = [frame.number(name, group) for name in names]
        if None not in position:
            geometry.stand.table = [names[0], position]
            return
    steps = [_increment(frame, name) for name in INCREMENTS]
    if None not in steps:
        geometry.stand.table = [f"{INCREMENTS[0]} of {frame.file.text('SOPInstanceUID')}", steps]


def _increment(frame: DicomFrame, name: str) -> float | None:
    """Return the table's motion since the first frame, from a value for each, or a step."""
    values = frame.numbers(name)
    if len(values) == frame_count(frame.file):
        return float(values[frame.index])
    return float(frame.index * values[0]) if len(values) == 1 else None


def begin_reading(
    file: DicomFile, frame: int | None, given: Mapping[str, Any] | None
) -> tuple[DicomFrame, HeaderGeometry]:
    """Return the header of a frame, and of its geometry what is given, the machine and the size."""
    header = requested_frame(file, frame)
    geometry = HeaderGeometry(dict(given or {}))
    if serial := str(file.value("DeviceSerialNumber") or "").strip():
        geometry.stand.machine = hashlib.sha256(serial.encode()).hexdigest()
    geometry.values.setdefault("size", [file.whole("Columns", 0), file.whole("Rows", 0)])
    return header, geometry


def read_header(
    path: str | os.PathLike, frame: int | None = None, given: dict[str, Any] | None = None
) -> HeaderGeometry | None:
    """Read the geometry of a frame, from 0, in the header of a DICOM X-ray; None for another file.

    `assumptions` lists everything that is assumed.

    Parameters
    ----------
    given
        What is known better, by the keys of a case.json's c_arm.

    Raises
    ------
    InputError
        For a header that is damaged.
    """
    file = read_dicom(path)
    if file is None:
        return None
    header, geometry = begin_reading(file, frame, given)
    find_patient(geometry, header)
    find_distances(geometry, header)
    geometry.put("pixel_mm", *_pixel_mm(header, geometry.values))
    roll = find_angles(geometry, header)
    find_orientation(geometry, header, roll)
    if "principal_point" not in geometry.values:
        point, assumed = _principal_point(header, geometry.values)
        geometry.values.update({} if point is None else {"principal_point": point})
        geometry.assumptions += [assumed] if assumed else []
    find_table(geometry, header)
    return geometry.sorted_by(C_ARM)
