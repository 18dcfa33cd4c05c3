"""What files are, by their content: a case, CT series, X-rays, calibrations, poses, masks, surfaces.

Whatever they are called.

DICOM goes by modality, SOP class and series (PS3.3, C.7.3.1 and C.12.1), images by their header
and, of volumes, the values of one slice.
"""

from __future__ import annotations

import zipfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError, MissingInformation
from ..geometry.rigid import check_rigid
from ..imaging.ct_series import MAX_FILES, slice_spacing_mm
from ..imaging.dicom_file import DicomFile, is_localizer, read_dicom
from ..imaging.image_source import BEGINNINGS, PAIR, head_of, is_surface, without_data_files
from ..imaging.reading import image_header, read_slice
from .calibration.programs import header_of, is_sequence, is_transform
from .calibration.read import read_calibration, recognised_format
from .files import read_json, upload_root
from .hdf5 import is_hdf5
from .points import is_bead_model
from .transforms import ZIP, read_named_matrix

#: Kinds of files. WHOLES open a registration in place of another; the first that is there is what
#: the others belong to.
SCENE, RESULT, TRACK, CASE = WHOLES = ("scene", "result", "track", "case")
#: What a file that this program names so is, where its content does not say it.
NAMED = {"result.json": RESULT, "track.json": TRACK, "case.json": CASE}
CT = "ct"
XRAY = "xray"
MASK = "mask"
XRAY_MASK = "xray mask"
CALIBRATION = "calibration"
POSE = "pose"
BEADS = "beads"
SURFACE = "surface"
LANDMARKS = "landmarks"
#: A single slice of a CT, of which no volume can be made.
SLICE = "slice"
#: A localizer that came with its CT.
SCOUT = "scout"

#: Modalities of X-rays in DICOM (PS3.3 C.7.3.1.1.1); "OT" and "SC" are pictures of any kind, mostly
#: digitised films.
XRAY_MODALITIES = ("XA", "RF", "DX", "CR", "RG", "MG", "IO", "PX", "RTIMAGE", "XC", "OT", "SC")
#: SOP classes of X-ray images: CR, DX for presentation and processing, XA, RF, enhanced XA and XRF.
XRAY_CLASSES = ("1", "1.1", "1.1.1", "12.1", "12.1.1", "12.2", "12.2.1")
IMAGE_CLASS = "1.2.840.10008.5.1.4.1.1."
#: Values of a mask in one slice, at most: structures are numbered, by TotalSegmentator to 118.
MAX_LABELS = 120
#: Files that systems leave in folders, and nobody means.
SYSTEM_FILES = ("thumbs.db", "desktop.ini", "dicomdir")
#: Formats of calibrations that have a sign of their own; others are recognised only by being
#: readable.
MARKED_FORMATS = ("mayacam", "opencv", "plus", "rtk", "xreg")


@dataclass(frozen=True)
class RecognisedFile:
    """A file, or the slices of one DICOM series, and what it can be.

    Attributes
    ----------
    paths
        The file, or the slices in any order.
    kinds
        Its kind, or the several kinds that it may be of; empty for a file that cannot be used.
    name
        Description of the series, or name of the file.
    facts
        Number and spacing of the slices of a CT, in words; "" if unknown.
    problem
        Why the file cannot be read, a sentence; "" for none.
    """

    paths: tuple[Path, ...]
    kinds: tuple[str, ...] = ()
    name: str = ""
    facts: str = ""
    problem: str = ""

    @property
    def path(self) -> Path:
        """The file, or the first slice."""
        return self.paths[0]

    @property
    def source(self) -> Path | tuple[Path, ...]:
        """The file or the slices, as `imaging.ct.load_ct` takes them."""
        return self.paths[0] if len(self.paths) == 1 else self.paths

    @property
    def public_name(self) -> str:
        """Name of the file, or of the folder of the slices, which does not contain the patient's name.

        It is "" for slices that were sent without a folder.
        """
        if len(self.paths) == 1:
            return self.path.name
        folder = self.path.parent
        return "" if upload_root(folder) == folder.resolve() else folder.name


def of_kind(files: Iterable[RecognisedFile], *kinds: str) -> list[RecognisedFile]:
    """Return the files of this kind, or those that may be of exactly these kinds."""
    return [file for file in files if file.kinds == kinds]


def whole_files(files: Sequence[RecognisedFile]) -> list[RecognisedFile]:
    """Return the files that open a registration: of the first kind in WHOLES that is present, those in the outermost folder."""
    found = next((of_kind(files, kind) for kind in WHOLES if of_kind(files, kind)), [])
    depth = min((len(file.path.parts) for file in found), default=0)
    return [file for file in found if len(file.path.parts) == depth]


def prefer(files: Iterable[RecognisedFile], kind: str) -> list[RecognisedFile]:
    """Return the files with those that may be of this kind taken as of it."""
    return [
        _file(file.path, kind) if len(file.kinds) > 1 and kind in file.kinds else file
        for file in files
    ]


def recognise(paths: Iterable[Path]) -> list[RecognisedFile]:
    """Recognise files, and those in folders and their subfolders, by their content.

    CTs come first, those with the most slices before others.

    Raises
    ------
    InputError
        For more than MAX_FILES files.
    """
    found: list[RecognisedFile] = []
    dicoms: list[DicomFile] = []
    others: list[Path] = []
    for path in _all_files(paths):
        try:
            file = read_dicom(path)
        except InputError as error:
            found.append(RecognisedFile((path,), problem=str(error)))
            continue
        if file:
            dicoms.append(file)
        else:
            others.append(path)
    found += _sort_dicom(dicoms)
    found += map(_recognised, without_data_files(others))
    return sorted(found, key=lambda file: -len(file.paths) if file.kinds == (CT,) else 0)


def _recognised(path: Path) -> RecognisedFile:
    try:
        return _file(path, *kinds_of(path))
    except InputError as error:
        return RecognisedFile((path,), problem=str(error))


def _file(path: Path, *kinds: str) -> RecognisedFile:
    facts = _facts_of_file(path) if kinds == (CT,) else ""
    return RecognisedFile((path,), kinds, path.name, facts)


def _all_files(paths: Iterable[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_dir() or file.name.startswith(".") or file.name.lower() in SYSTEM_FILES:
                continue
            if "__MACOSX" in file.parts:
                continue
            if len(files) == MAX_FILES:
                raise InputError(
                    f"Found more than {MAX_FILES} files, expected the slices of a CT and a few "
                    "X-rays; choose fewer."
                )
            files.append(file)
    return list(dict.fromkeys(files))


# DICOM


def _sort_dicom(files: Sequence[DicomFile]) -> list[RecognisedFile]:
    found: list[RecognisedFile] = []
    series: dict[str, list[DicomFile]] = defaultdict(list)
    seen: set[str] = set()
    for file in files:
        try:
            instance = str(file.value("SOPInstanceUID") or file.path)
            if instance in seen:  # a copy, as exports of whole studies have them
                continue
            seen.add(instance)
            kind = _dicom_kind(file)
        except InputError as error:
            found.append(RecognisedFile((file.path,), problem=str(error)))
            continue
        if kind == CT:
            series[str(file.value("SeriesInstanceUID") or file.path.parent)].append(file)
        else:
            found.append(_file(file.path, *filter(None, [kind])))
    volumes = [slices for slices in series.values() if len(slices) > 1 or _frames(slices[0]) > 1]
    single = [slices[0].path for slices in series.values() if slices not in volumes]
    if not volumes:  # localizers are X-rays like others, and so may be a single slice
        xrays = [_file(file.path, XRAY) if file.kinds == (SCOUT,) else file for file in found]
        return [*xrays, *(_file(path, SLICE, XRAY) for path in single)]
    return [*map(_series, volumes), *found, *map(_file, single)]


def _dicom_kind(file: DicomFile) -> str:
    """Return CT (also for one slice), SCOUT, XRAY or MASK; "" for a file that cannot be used."""
    modality = file.text("Modality")
    sop_class = str(file.value("SOPClassUID") or "")
    if modality in ("SEG", "RTSTRUCT"):
        return MASK
    if not file.whole("Rows", 0):  # a report, a plan, a presentation state
        return ""
    if is_localizer(file):
        return SCOUT
    if sop_class.removeprefix(IMAGE_CLASS) in XRAY_CLASSES:
        return XRAY
    if modality == "CT":
        placed = len(file.numbers("ImagePositionPatient")) == 3 or _frames(file) > 1
        return CT if placed else ""  # a dose report, or a picture of the screen
    return XRAY if modality in XRAY_MODALITIES or not modality else ""


def _frames(file: DicomFile) -> int:
    return file.whole("NumberOfFrames", 1)


def _series(slices: list[DicomFile]) -> RecognisedFile:
    first = slices[0]
    number = str(first.value("SeriesNumber") or "").strip()
    name = str(first.value("SeriesDescription") or "").strip() or f"series {number}".strip()
    paths = tuple(file.path for file in slices)
    spacing = list(first.numbers("PixelSpacing")[::-1])
    with suppress(InputError):
        along = slice_spacing_mm(slices)
        spacing += [] if along is None else [along]
    return RecognisedFile(paths, (CT,), name, _facts(len(slices), spacing))


def _facts(slices: int, spacing: Sequence[float]) -> str:
    size = " \u00d7 ".join(f"{step:.2f}" for step in spacing)
    return f"{slices} slices" + (f", {size} mm" if size else "")


def _facts_of_file(path: Path) -> str:
    with suppress(InputError):
        header = image_header(path)
        return _facts(header.size[-1], header.spacing_mm)
    return ""


# Other files


def kinds_of(path: Path) -> tuple[str, ...]:
    """Return what a file can be; nothing for what is of no use here.

    Raises
    ------
    InputError
        Of an image that cannot be read.
    """
    begin = head_of(path)
    if path.suffix.lower() in (".mrb", ".mrml") or b"<MRML" in begin:
        return (SCENE,)
    if not begin:
        return ()
    if begin.startswith(ZIP):
        return _of_archive(path)
    if is_surface(path) and b"STRUCTURED_POINTS" not in begin:
        return (SURFACE,)
    if is_sequence(header_of(path)):
        return (CALIBRATION, XRAY)
    if _is_image(path, begin):
        return _of_image(path)
    if is_hdf5(path):
        with path.open("rb") as stream:
            return (POSE, CALIBRATION) if is_transform(stream.read(1 << 16)) else (CALIBRATION,)
    if is_transform(begin):
        return (POSE, CALIBRATION)
    return _of_numbers(path, begin)


def _of_archive(path: Path) -> tuple[str, ...]:
    """Tell a scene (.mrb) from NumPy's arrays (.npz)."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.lower() for name in archive.namelist()[: MAX_FILES + 1]]
    except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError):
        names = []
    if any(name.endswith(".mrml") for name in names):
        return (SCENE,)
    if names and all(name.endswith(".npy") for name in names):
        return _of_numbers(path, ZIP)
    raise InputError(
        f"{path}: is an archive, expected what is in it; unpack it, and drop its folder."
    )


def _is_image(path: Path, begin: bytes) -> bool:
    known = begin.startswith(
        (b"NRRD0", b"ObjectType", b"NDims", *(beginning for beginning, _ in BEGINNINGS))
    )
    return known or bool(PAIR.search(path.name)) or path.suffix.lower() in (".mha", ".mhd")


def _of_image(path: Path) -> tuple[str, ...]:
    header = image_header(path)
    slices = header.size[2] if len(header.size) > 2 else 1
    if slices == 1:
        return (XRAY_MASK,) if header.components == 1 and _is_two_valued(path) else (XRAY,)
    values = read_slice(path, slices // 2)[0].values
    low = float(values.min())
    if _labels(path, values):
        return (MASK,)
    if low < 0 or not header.default_place:
        return (CT,)
    return (CT, XRAY)


def _labels(path: Path, values: np.ndarray) -> bool:
    """Return whether the values are the numbers of structures.

    Raises
    ------
    InputError
        For numbers that something has spoilt.
    """
    whole = values == np.rint(values)
    numbers = np.unique(values[whole])
    low = values.min()
    high = values.max()
    if len(numbers) > MAX_LABELS or low < -MAX_LABELS:
        return False
    if whole.all() and low < 0:
        raise InputError(
            f"{path}: has few values, whole numbers from {low:g} on, as labels, but no label is "
            "negative; set those to 0, and save it again."
        )
    spoilt = high <= MAX_LABELS and whole[values != 0].mean() > 0.5 and (numbers > 0).sum() > 1
    if spoilt and low >= 0 and not whole.all():
        raise InputError(
            f"{path}: has labels, whole numbers, and fractions between them; export the "
            "segmentation again, without interpolation (nearest neighbour)."
        )
    return bool(whole.all())


def _is_two_valued(path: Path) -> bool:
    values = read_slice(path, 0)[0].values
    return len(np.unique(values)) == 2 and values.min() == 0


def _of_numbers(path: Path, begin: bytes) -> tuple[str, ...]:
    """Tell a case, a result, a track, a calibration, a pose and a model of beads apart.

    Text, JSON, YAML, XML or NumPy's arrays.
    """
    content = None
    if begin.startswith((b"# Markups fiducial file", b"# Fiducial List file")):
        return (LANDMARKS,)
    if begin.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        with suppress(InputError):
            content = read_json(path)
        if content is None:  # what is wrong with it is said by what reads it
            return (NAMED[path.name],) if path.name in NAMED else ()
    if isinstance(content, dict):
        if "markups" in content:
            return (LANDMARKS,)
        if "sequence" in content and "frames" in content:
            return (TRACK,)
        if "world_from_ct" in content and ("verdict" in content or "reasons" in content):
            return (RESULT,)
        if "views" in content and ("ct" in content or "version" in content):
            return (CASE,)
        if path.name in NAMED:
            return (NAMED[path.name],)
    if _is_pose(path):
        return (POSE,)
    if path.suffix.lower() in (".yml", ".yaml"):
        return (CALIBRATION,)
    try:
        views = read_calibration(path, size=(1000, 1000), unit="mm", axes="lps", first_pixel=0)
    except MissingInformation:
        return (CALIBRATION,)
    except InputError:
        with suppress(InputError):
            if recognised_format(path) in MARKED_FORMATS:
                return (CALIBRATION,)
        return (BEADS,) if is_bead_model(path) else ()
    return () if all(_is_rigid(view.projection_matrix) for view in views) else (CALIBRATION,)


def _is_pose(path: Path) -> bool:
    """Return whether a file holds one rigid 4x4 matrix."""
    try:
        return _is_rigid(read_named_matrix(path).matrix)
    except InputError:
        return False


def _is_rigid(matrix: np.ndarray) -> bool:
    """Return whether a matrix (3, 4) or (4, 4) is a rigid transform, and not a projection."""
    try:
        check_rigid(np.vstack([matrix[:3], [0, 0, 0, 1]]), "")
    except InputError:
        return False
    return len(matrix) == 3 or np.allclose(matrix[3], (0, 0, 0, 1))
