"""X-rays from slot scans by their DICOM headers: scouts of a CT, and images of an EOS slot scanner.

docs/dicom.md has the sources.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry.fields import SLOT_SCAN
from ..imaging.ct_series import files_below
from ..imaging.dicom_file import (
    DicomFile,
    DicomFrame,
    is_localizer,
    lies_down,
    read_dicom,
)
from .dicom_geometry import (
    ACROSS_AT_ISOCENTRE,
    AT_PATIENT,
    BENT_FAN,
    BY_TUBE_ANGLE,
    EOS_AT_ISOCENTRE,
    EOS_FAN,
    EOS_LATERAL,
    EOS_TOGETHER,
    EOS_WORLD,
    FAR_SIDE,
    FLAT_FAN,
    IN_IMAGE,
    LETTERS,
    PATIENT_FROM_TABLE,
    HeaderGeometry,
    are_sizes,
    distance_to_isocentre,
    pixel_of,
)
from .files import printable
from .view_record import ViewRecord

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
        geometry.put("isocentre_to_source", *_to_eos_source(geometry.values, file))
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
    said = _eos_plane(file)
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


def _eos_plane(file: DicomFile) -> str:
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


def _to_eos_source(values: dict[str, Any], file: DicomFile) -> tuple:
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


#: Rows of a localizer follow each other along the table, so nearly along the patient.
LEAST_ALONG = np.cos(np.radians(1))
#: An image whose middle is farther from the scanner's axis may be cropped.
MOST_OFF_AXIS_MM = 10.0
HOW_TO_ADD = "add them to its slot_scan in the case.json, or make the case with mvreg case new, which asks for them"
#: Tube angles in private attributes: the creator, its group and element.
TUBE_AZIMUTH = ("GEMS_ACQU_01", 0x0019, 0x26)
PLANE = ("ImageOrientationPatient", "PixelSpacing", "ImagePositionPatient")
#: The scanner's pose of a CT in the world of its own localizers.
SCANNERS_POSE = np.eye(4)


def is_slot_scan(file: DicomFile) -> bool:
    """Return whether a header is that of a localizer, or of an EOS image."""
    return is_localizer(file) or is_eos(file)


def read_slot_scan(
    path: str | os.PathLike, given: dict[str, Any] | None = None
) -> HeaderGeometry | None:
    """Read the geometry of a localizer in its scanner's frame of reference, or of an EOS image (`find_eos`).

    Parameters
    ----------
    given
        What is known better, by the same keys.

    Returns
    -------
    HeaderGeometry or None
        By the keys of a case.json's slot_scan; None for another file.

    Raises
    ------
    InputError
        For a header that is damaged, and a localizer by a tilted gantry or turned after it was
        taken.
    """
    file = read_dicom(path)
    if not (file and is_slot_scan(file)):
        return None
    geometry = HeaderGeometry(dict(given or {}))
    geometry.values.setdefault("size", _size(file))
    (_find_localizer if is_localizer(file) else find_eos)(geometry, file)
    return geometry


def _find_localizer(geometry: HeaderGeometry, file: DicomFile) -> None:
    if np.any(np.abs(file.numbers("GantryDetectorTilt")) > 0.1):
        file.refuse(
            "a localizer by a tilted gantry, expected one across the table; choose another."
        )
    _find_plane(geometry, file)
    _refuse_turned(geometry, file)
    _find_distance(geometry, file)
    geometry.put("isocentre_to_source", *_to_source(geometry, file))
    if "fan" not in geometry.values:
        bent = file.text("Manufacturer").startswith("PHILIPS")
        geometry.values |= {"fan": "equal_angles"} if bent else {}
        geometry.assumptions.append(BENT_FAN if bent else FLAT_FAN)
    geometry.sorted_by(SLOT_SCAN)


def _find_plane(geometry: HeaderGeometry, file: DicomFile) -> None:
    """Find columns_along, rows_along, pixel_mm and isocentre."""
    axes, spacing, first = _plane(file)
    for key, axis in (("columns_along", axes[:3]), ("rows_along", axes[3:])):
        geometry.put(key, (axis + 0.0).tolist() if len(axes) == 6 else "ImageOrientationPatient")
    geometry.put("pixel_mm", pixel_of(spacing, "PixelSpacing"), ACROSS_AT_ISOCENTRE)
    if len(first) != 3 or not {"columns_along", "pixel_mm"} <= geometry.values.keys():
        geometry.put("isocentre", "ImagePositionPatient, ImageOrientationPatient and PixelSpacing")
        return
    along = np.array(geometry.values["columns_along"])
    width = geometry.values["pixel_mm"][0]
    column = (geometry.values["size"][0] - 1) / 2
    centre = file.numbers("DataCollectionCenterPatient")
    off_mm = _off_axis_mm(first + column * width * along, along, file)
    if "central_column" in geometry.values:
        column = geometry.values["central_column"]
    elif len(centre) == 3:
        column = geometry.values["central_column"] = float((centre - first) @ along / width)
    elif abs(off_mm) > MOST_OFF_AXIS_MM:
        geometry.put(
            "central_column",
            f"its middle column lies {abs(off_mm):.0f} mm off the scanner's axis: it may be "
            "cropped or turned",
        )
    else:
        geometry.assumptions.append(IN_IMAGE)
    geometry.put("isocentre", (first + column * width * along).tolist())


def _size(file: DicomFile) -> list[int]:
    """Return (columns, rows) of the image as it is read."""
    size = [file.whole("Columns"), file.whole("Rows")]
    return size[::-1] if lies_down(file) else size


def _plane(file: DicomFile) -> list[np.ndarray]:
    """Return the PLANE of the image as it is read, which is upright."""
    axes, spacing, first = map(file.numbers, PLANE)
    if lies_down(file) and len(spacing) == 2 and len(first) == 3:
        first = first + (file.whole("Rows") - 1) * spacing[0] * axes[3:]
    if lies_down(file):
        axes = np.concatenate([-axes[3:], axes[:3]])
        spacing = spacing[::-1]
    return [axes, spacing, first]


def _off_axis_mm(middle: np.ndarray, along: np.ndarray, file: DicomFile) -> float:
    """Return how far the middle (3,) of a row lies from the scanner's axis.

    That is at x = 0, and of GE at y = 0, too; else 0.
    """
    known = np.array([1, file.text("Manufacturer").startswith("GE "), 0])
    return float(middle @ (known * along))


def _refuse_turned(geometry: HeaderGeometry, file: DicomFile) -> None:
    along = geometry.values.get("rows_along")
    if along is not None and abs(along[2]) < LEAST_ALONG * np.linalg.norm(along):
        angle = np.degrees(np.arccos(abs(along[2]) / np.linalg.norm(along)))
        file.refuse(
            f"its rows follow each other {angle:.0f} degrees off the patient's long axis, expected "
            "a localizer along the table; export it as the scanner stored it."
        )


def _find_distance(geometry: HeaderGeometry, file: DicomFile) -> None:
    frame = DicomFrame(file)
    key = "source_to_isocentre_mm"
    exact = frame.number("DistanceSourceToDataCollectionCenter")
    distance = exact or frame.number("DistanceSourceToPatient")
    to_detector = frame.number("DistanceSourceToDetector")
    if not distance or distance <= 0:
        geometry.put(key, "DistanceSourceToPatient")
    elif to_detector and distance >= to_detector:
        geometry.put(
            key,
            f"DistanceSourceToPatient is {distance:g} mm, not less than the {to_detector:g} mm to "
            "the detector",
        )
    else:
        geometry.put(key, distance, *([] if exact else [AT_PATIENT]))


def _to_source(geometry: HeaderGeometry, file: DicomFile) -> tuple:
    """Return the direction from the isocentre to the source, and what is assumed for it, as `HeaderGeometry.put` takes it."""
    angle = _tube_angle(file)
    position = PATIENT_FROM_TABLE.get(file.text("PatientPosition"))
    if angle is not None and position is not None:
        turn = np.radians(angle)
        to_source = np.array(position, float) @ [np.sin(turn), -np.cos(turn), 0]
        return (to_source.round(12) + 0.0).tolist(), BY_TUBE_ANGLE
    as_displayed = file.text("Manufacturer").startswith("GE ") and "DERIVED" not in file.texts(
        "ImageType"
    )
    if {"columns_along", "rows_along"} <= geometry.values.keys() and as_displayed:
        normal = np.cross(geometry.values["columns_along"], geometry.values["rows_along"])
        return normal.tolist(), FAR_SIDE
    return (
        "TubeAngle and PatientPosition: where the tube is, [0, 1, 0] behind the patient and [1, 0, "
        "0] at the left",
    )


def _tube_angle(file: DicomFile) -> float | None:
    """Return the tube's degrees from the top, clockwise as seen from the foot of the table."""
    frame = DicomFrame(file)
    for name in ("TubeAngle", "AngularPosition"):
        if (angle := frame.number(name)) is not None:
            return angle
    creator, group, element = TUBE_AZIMUTH
    try:
        return float(file.header.private_block(group, creator)[element].value)
    except (KeyError, TypeError, ValueError):
        return None


def check_worlds(where: str, views: Sequence[ViewRecord], found: Sequence[HeaderGeometry]) -> None:
    """Refuse localizers of different frames of reference, and EOS images that are not of one scan.

    Parameters
    ----------
    where
        What messages begin with.
    found
        What the header of each says.
    """
    frames = {world_of(view.image_path): view.field for view in reversed(views)}
    if len(frames) > 1:
        other, first = list(frames.values())[-2:]
        raise InputError(
            f"{where}: {other} and {first} are slot scans of different frames of reference (EOS "
            "images: studies), which do not tell how they lie to each other; expected those of "
            "one examination."
        )
    pairs = (
        combinations(zip(views, found), 2) if found and EOS_WORLD in found[0].assumptions else ()
    )
    for (view, one), (later, other_one) in pairs:
        if why := mismatch(one.values, other_one.values, {*view.readings, *later.readings}):
            raise InputError(
                f"{where}: {later.field} and {view.field} are EOS images of which {why}, expected "
                "those of one scan; correct one, or give what is known better as its slot_scan."
            )


def world_of(path: str | os.PathLike) -> str:
    """Return the name of a world that slot scans share; "" where none is told.

    It is the FrameOfReferenceUID of a localizer; for EOS see `scan_of`.
    """
    file = read_dicom(path)
    if file is None:
        return ""
    return scan_of(file) if is_eos(file) else _frame_of_reference(file)


@dataclass(frozen=True)
class Study:
    """The CT of a study and its localizers.

    Attributes
    ----------
    ct
        Folder of the slices.
    localizers
        By their names, from the side that their tube is on; those in the frame of reference of the
        CT, in whose LPS axes they are placed.
    others
        Localizers of another frame of reference, or of none.
    elsewhere
        Localizers in that of the CT that show another part of the patient.
    series
        SeriesInstanceUID of the CT where its folder has several series, else None.
    slices
        How many the CT has.
    other_series
        Further CT series: their folders, with the number of slices.
    """

    ct: Path
    localizers: dict[str, Path]
    others: list[Path]
    elsewhere: list[Path] = field(default_factory=list)
    series: str | None = None
    slices: int = 0
    other_series: list[str] = field(default_factory=list)

    def case(self) -> dict[str, Any]:
        """Return the study as a case.json, with absolute paths.

        The frame of reference that CT and localizers share is the truth.
        """
        images = [(name, str(path.resolve())) for name, path in self.localizers.items()]
        views = [{"name": name, "image": image} for name, image in images]
        pose = {"world_from_ct": SCANNERS_POSE.tolist()}
        series = {"ct_series": self.series} if self.series else {}
        ct = {"ct": str(self.ct.resolve()), **series}
        return {"version": 1, **ct, "views": views, **pose, "truth": pose}

    @property
    def left_out(self) -> list[str]:
        """What is not used, a sentence each."""
        others = {"frame of reference": self.others, "part of the patient": self.elsewhere}
        told = []
        for what, paths in others.items():
            of = f"is a localizer of another {what} than the CT, and is left out."
            told += [f"{printable(path)} {of}" for path in paths]
        if self.other_series:
            told.append(
                "Of several CT series, the one with the most slices in a scout's frame of reference "
                f"is used: {_described(self.ct, self.slices)}. Not used: "
                f"{', '.join(self.other_series[:6])}."
            )
        return told


def _described(folder: Path, slices: int) -> str:
    return f"{printable(folder)} ({slices} slices)"


def find_study(folder: str | os.PathLike, uid: str | None = None) -> Study:
    """Find the CT and the localizers in a folder and those below it.

    Parameters
    ----------
    uid
        SeriesInstanceUID of the CT; by default that with the most slices, of those in a localizer's
        frame of reference if there are any.

    Raises
    ------
    InputError
        For no such folder, no slices, and too many files.
    """
    folder = Path(folder)
    series: dict[tuple[Path, str], list[DicomFile]] = {}
    localizers: list[DicomFile] = []
    for path in files_below(folder):
        file = read_dicom(path)
        if file is None or file.text("Modality") != "CT":
            continue
        if is_localizer(file):
            localizers.append(file)
        elif len(file.numbers("ImagePositionPatient")) == 3:  # no report or picture
            key = path.parent, str(file.value("SeriesInstanceUID") or "")
            series.setdefault(key, []).append(file)
    if not series:
        raise InputError(
            f"{printable(folder)}: holds no slices of a CT, expected a CT study in DICOM, "
            "slices in a file each, and scouts; name the folder of both."
        )
    known = {_frame_of_reference(file) for file in localizers} - {""}

    def rank(key: tuple[Path, str]) -> tuple[bool, int]:
        return _frame_of_reference(series[key][0]) in known, len(series[key])

    chosen = max((key for key in series if uid in (None, key[1])), key=rank)
    slices = series.pop(chosen)
    frame = _frame_of_reference(slices[0])
    along = [float(file.numbers("ImagePositionPatient")[2]) for file in slices]
    mine = []
    others = []
    elsewhere = []
    for file in localizers:
        rows = _rows_extent(file)
        if not frame or _frame_of_reference(file) != frame:
            others.append(file.path)
        elif rows is None or min(along) <= rows[1] and rows[0] <= max(along):
            mine.append(file)
        else:
            elsewhere.append(file.path)
    ct, uid = chosen
    shared = any(parent == ct for parent, _uid in series)
    return Study(
        ct,
        _named(mine),
        others,
        elsewhere,
        uid if shared else None,
        len(slices),
        [_described(parent, len(files)) for (parent, _uid), files in series.items()],
    )


def _rows_extent(localizer: DicomFile) -> tuple[float, float] | None:
    """Return from where to where along the patient the rows lie, mm.

    None where the header does not say it.
    """
    axes, spacing, first = _plane(localizer)
    if (len(axes), len(spacing), len(first)) != (6, 2, 3):
        return None
    last = first[2] + (_size(localizer)[1] - 1) * spacing[0] * axes[5]
    return min(first[2], last), max(first[2], last)


def _named(files: Sequence[DicomFile]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for file in files:
        axes = _plane(file)[0]
        side = "LAT" if len(axes) == 6 and abs(axes[1]) > abs(axes[0]) else "AP"
        number = sum(name.partition(" ")[0] == side for name in named)
        named[f"{side} {number + 1}" if number else side] = file.path
    return named


def _frame_of_reference(file: DicomFile) -> str:
    """Return the FrameOfReferenceUID, "" for none."""
    return str(file.value("FrameOfReferenceUID") or "")


def study_with_localizers(folder: str | os.PathLike, uid: str | None = None) -> Study:
    """Find the study in a folder as `find_study` does, with a CT that has localizers.

    Raises
    ------
    InputError
        As `find_study`, and where it finds no localizer of the CT.
    """
    study = find_study(folder, uid)
    if not study.localizers:
        found = {
            "of another frame of reference": study.others,
            "of another part of the patient": study.elsewhere,
        }
        listed = " and ".join(f"{len(paths)} {what}" for what, paths in found.items() if paths)
        raise InputError(
            f"{printable(Path(folder))}: holds no localizer of its "
            f"CT{f' ({listed})' if listed else ''}, expected one or more; export the whole "
            "examination, with its scouts."
        )
    return study
