"""Writers of case folders from memory, with images as MetaImage, and of anonymised copies of cases.

A case.json is assembled from its parts, and validated by reading it before it is written. An anonymised
copy keeps pixels, geometry and numbers, but no headers and no free text.
"""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, collect_warnings, warn
from ..imaging.body import Body, StructureSource
from ..imaging.burned_text import smooth_continued
from ..imaging.ct import whole_numbers
from ..imaging.dicom_file import read_dicom
from ..imaging.reading import RawImage, itk_image, write_image
from ..imaging.xray import MIN_TRANSMISSION, XRay, load_image, recognised, to_line_integrals
from .case import Case, image_of
from .case_file import VERSION, BodySource, CaseFile, bodies_json, case_name, input_files
from .dicom_geometry import ASSUMPTIONS
from .files import InputFile, json_text, plain, printable, relative_path
from .folders import staged
from .view_headers import missing_readings
from .view_record import ViewRecord

#: The writer sets these itself.
_FILES = ("ct", "ct_unit", "ct_series", "mask", "labels", "structures", "image", "frame")


def write_case(
    folder: str | os.PathLike,
    content: dict[str, Any],
    bodies: Sequence[Body],
    images: Mapping[str, RawImage],
    masks: Mapping[str, np.ndarray] | None = None,
) -> Path:
    """Write a folder with a case.json and all files that it refers to, and return the path of the case.json.

    `Case.load` reads the same CT, images, masks and cameras to the last digit, and finds the same
    valid pixels as `to_line_integrals` does in the images.

    The version is this program's if the content has none. Either all files are written or none; the
    case.json is the last.

    Parameters
    ----------
    folder
        Target folder. Created if it does not exist; a case in it is replaced.
    content
        Content of the case.json, arrays allowed. Entries for files and `ct_unit` are omitted or
        replaced.
    bodies
        A CT is written as ct.mha, its mask, if any, as mask.mha, its bones as labels.mha; additional
        implants, and bones with separate CTs, as bone1.mha, ...
    images
        Images by view name, written as view1.mha, view2.mha, ... The `intensity` of a view in the
        content states their meaning. Grey-level step and pixel size are kept; `curve` and an unusual
        `white` are not (only the intensity "auto" needs them).
    masks
        (rows, columns) by view name, non-zero = use, for the views that have a mask; written as
        view1_mask.png, ...

    Raises
    ------
    InputError
        If the content is not a valid case, the folder cannot be written, or the disk is full.

    Warns
    -----
    UserWarning
        For unknown keys.
    """
    folder = Path(folder)
    said = plain(content)
    with staged(folder, last="case.json") as staging:
        views = _write_views(staging, said["views"], images, masks or {})
        files = _write_bodies(staging, bodies)
        written = {"version": VERSION, **files, **_without_files(said), "views": views}
        path = staging / "case.json"
        CaseFile.from_json(path, written)
        path.write_bytes(json_text(written).encode())
    return folder / "case.json"


def _write_bodies(folder: Path, bodies: Sequence[Body]) -> dict[str, Any]:
    """Write the CT of each body, with its mask and its bones, and return their entries of the case.json."""
    sources = []
    named: dict[Path, str] = {}

    def written(name: str, values: np.ndarray, grid: np.ndarray) -> InputFile:
        file = InputFile(name, folder / name)
        write_image(file.path, itk_image(values, grid))
        named[file.path] = name
        return file

    for number, body in enumerate(bodies, start=1):
        grid = body.ct.volume.ct_from_index
        name = f"bone{number}.mha" if body.name else "ct.mha"
        mask = labels = None
        if body.ct.mask is not None and not body.name:
            mask = written("mask.mha", body.ct.mask.astype(np.uint8), grid)
        if body.bones.names:
            labels = written("labels.mha", body.bones.labels, grid)
        source = BodySource(
            ct=written(name, whole_numbers(body.ct.volume.values), grid),
            name=body.name,
            unit=body.ct.unit,
            mask=mask,
            labels=labels,
            structures=tuple(map(StructureSource, body.bones.names, count(1))),
            world_from_ct=body.world_from_ct,
        )
        sources.append(source)
    return plain(bodies_json(sources, named))


def _write_views(
    folder: Path, views: list[dict], images: Mapping[str, RawImage], masks: Mapping[str, np.ndarray]
) -> list[dict]:
    """Write the images and return the views with their files as entries of the case.json."""
    with_files = []
    for number, view in enumerate(views, start=1):
        image = images[view["name"]]
        files = {"image": f"view{number}.mha"}
        write_image(folder / files["image"], itk_image(_stored(image), _pixels_mm(image)))
        if view["name"] in masks:
            files["mask"] = f"view{number}_mask.png"
            (folder / files["mask"]).write_bytes(_png(masks[view["name"]]))
        with_files.append({**_without_files(view), **files})
    return with_files


def _without_files(content: dict) -> dict:
    return {key: value for key, value in content.items() if key not in _FILES}


def _stored(image: RawImage) -> np.ndarray:
    """Return the values in a data type that preserves their grey-level step when they are read."""
    if not image.step:
        return image.values
    low = image.values.min()
    high = image.values.max()
    for kind in (np.uint8, np.uint16, np.int16):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return image.values.astype(kind)
    return image.values.astype(np.int64)


def _pixels_mm(image: RawImage) -> np.ndarray:
    """Return a matrix (3, 3) with the pixel size on the diagonal.

    A size of 1 x 1 mm means that it is unknown.
    """
    spacing = np.ones(2) if image.pixel_mm is None else np.array(image.pixel_mm)
    if image.pixel_mm == (1.0, 1.0):
        spacing[0] = np.nextafter(1.0, 2.0)
    return np.diag([*spacing, 1.0])


def _png(mask: np.ndarray) -> bytes:
    file = io.BytesIO()
    from PIL import Image  # optional in Slicer

    Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


#: For a view without the value: searched for in the image, and refused where the image does not
#: show it.
DEFAULT_INTENSITY = "auto"


def has_recognisable_intensity(image: Path, frame: int | None) -> bool:
    """Return whether "auto" can determine if bone is dark or bright.

    Raises
    ------
    InputError
        If an image cannot be read.
    """
    raw = load_image(image, frame)
    try:
        recognised(raw)
    except InputError:
        return False
    return True


def write_new_case(
    new: CaseFile, *, force: bool, copy: bool, check: Callable[[Case], object]
) -> Case:
    """Write a case.json and return the case that it describes, after validation.

    Parameters
    ----------
    new
        The case. Its path is that of the new file, whose folder is created.
    force
        Replace an existing file.
    copy
        Copy the CT, the images and masks into its folder; otherwise the case.json refers to the
        originals by relative paths.
    check
        Called with the case before it is written; it may raise an InputError.

    Raises
    ------
    InputError
        If `check` raises it, the file exists, or readings are unknown (the message names them).
        Nothing is written then.

    Warns
    -----
    UserWarning
        As `Case.load` does.
    """
    path = new.path
    if path.exists() and not force:
        raise InputError(
            f"{printable(path)}: exists already, expected the name of a new file; choose another, "
            "or replace it with --force."
        )
    if missing := missing_geometry(new.views):
        raise InputError(" ".join(missing))
    sources = [path for _, path in input_files(new)[1:]]
    for source in sources:
        if not source.exists():
            raise InputError(f"{printable(source)}: no such file; check the path.")
    whole = {source: source.resolve() for source in sources}
    with staged(path.parent, last=path.name) as staging:
        probe = staging / path.name
        probe.write_text(_case_text(new, whole))
        with collect_warnings() as caught:
            file = CaseFile.read(probe)
            case = Case.of(file)
        check(case)
        for n, (view, read) in enumerate(zip(new.views, file.views, strict=True)):
            # Some may come from a header.
            known = replace(view, geometry=read.geometry, assumptions=read.assumptions)
            new.views[n] = known
        named = (
            _copied(sources, staging)
            if copy
            else {source: relative_path(source, path.parent) for source in sources}
        )
        for name in named.values() if copy else ():
            there = path.parent / name
            if there.exists() or name == path.name:
                raise InputError(f"{printable(there)}: exists already; choose another folder.")
        probe.write_text(_case_text(new, named))
    for warning in caught:
        warn(warning.replace(printable(probe), printable(path)))
    case.path = path
    case.name = case_name(path)
    return case


def missing_geometry(views: Sequence[ViewRecord]) -> list[str]:
    """Return a message for each kind of geometry with incomplete readings, with the option that sets them."""
    messages = []
    for kind, expected in (
        (
            "c_arm",
            "a projection matrix or all readings of a C-arm; give --projection-matrix FILE, or "
            "these keys as --c-arm KEY=VALUE ...",
        ),
        (
            "slot_scan",
            "all of a slot scan; give these keys behind --view NAME IMAGE as --slot-scan KEY=VALUE "
            "...",
        ),
    ):
        missing = []
        for view in views:
            readings = missing_readings(view) if view.kind == kind else {}
            listed = ", ".join(f"{key} ({why})" if why else key for key, why in readings.items())
            if readings:
                missing.append(f"view {printable(view.name)}: is missing {listed}")
        if missing:
            messages.append(f"{'; '.join(missing)}, expected {expected}")
    return messages


def _case_text(new: CaseFile, named: Mapping[Path, str | Path]) -> str:
    return json_text(new.content(named))


def _copied(sources: list[Path], folder: Path) -> dict[Path, str]:
    """Copy files and folders into `folder`, without duplicates, and return their new names."""
    named: dict[Path, str] = {}
    for source in dict.fromkeys(sources):
        name = source.resolve().name
        number = 1
        while name in named.values():
            number += 1
            name = f"{number}_{source.resolve().name}"
        named[source] = name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    return named


#: A view's name made of these words alone identifies nobody.
_PLAIN_NAME = re.compile(
    r"(view|camera|ap|pa|lat|lateral|oblique|inlet|outlet|lao|rao|cra|cau|left|right)?[ _-]?\d{0,2}",
    re.IGNORECASE,
)
#: Words that a structure's name may have.
_BONE = (
    "left|right|l|r|vertebra|vertebrae|rib|sacrum|pelvis|hip|ilium|femur|patella|tibia|fibula|talus|calcaneus|scapula|clavicle|"
    r"clavicula|humerus|radius|ulna|scaphoid|lunate|metacarpal|metatarsal|mandible|skull|sternum|[ctls]?\d{1,2}"
)
_PLAIN_STRUCTURE = re.compile(rf"({_BONE})([ _-]({_BONE}))*", re.IGNORECASE)


@dataclass(frozen=True)
class ImageFindings:
    """Burned-in text and margins found in an X-ray image.

    Attributes
    ----------
    view
        The view's name in the copy.
    text_places
        Number of text regions, which are blanked in the copy.
    frame
        Uniform margins: "recognised" (blanked in the copy), "not recognised", or "none".
    """

    view: str
    text_places: int
    frame: str

    def __str__(self) -> str:
        places = self.text_places
        text = f"{places} place{'s' * (places != 1)}" if places else "none found"
        return f"{self.view}: text: {text}; frame: {self.frame}."


@dataclass(frozen=True)
class AnonymisedCase:
    """An anonymised copy of a case.

    Attributes
    ----------
    path
        Path of the new case.json.
    images
        Burned-in text and margins found in each image.
    changes
        What was removed or changed, one sentence per change.
    """

    path: Path
    images: list[ImageFindings]
    changes: list[str]


def anonymise(path: Path, folder: Path, *, accept_unrecognised: bool = False) -> AnonymisedCase:
    """Write a copy of a case without names, IDs, dates and headers.

    Images and CT are written as MetaImage, which has no patient header. Pixels that no view uses (the
    frame of a screenshot, text, and pixels outside the collimated field) are blanked. The case.json
    keeps the numbers and keywords of known fields, but no free text. Standard view names (AP,
    lateral, view 1) are kept.

    Parameters
    ----------
    path
        The case.json.
    folder
        New or empty folder of the copy.
    accept_unrecognised
        Also copy images that may contain undetected text: images with wide uniform margins that are
        not recognised as a frame, or with BurnedInAnnotation YES in their DICOM header.

    Raises
    ------
    InputError
        If `Case.load` refuses the case, the folder is not empty, or an image may contain undetected
        text and this is not accepted.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"{printable(folder)}: is there already, expected a new or empty folder; choose "
            "another."
        )
    case = Case.load(path)
    file = CaseFile.read(path)
    names = _new_names([view.name for view in file.views])
    findings = [_findings(names[view.name], view.xray) for view in case.views]
    if not accept_unrecognised:
        _refuse_unrecognised(file.views, findings)
    views = []
    images = {}
    masks = {}
    for given, view in zip(file.views, case.views, strict=True):
        name = names[given.name]
        images[name], intensity = _image(given, view.xray)
        masks[name] = view.xray.valid
        views.append(
            replace(
                given.flat,  # as the image is written
                name=name,
                frame=None,
                intensity=intensity,
                assumptions=tuple(each for each in given.assumptions if each in ASSUMPTIONS),
                marker_model=None,
            ).to_json()
        )
    new_names = dict(zip(case.bone_names, _structure_names(case.bone_names), strict=True))
    kept = case.settings_json(
        landmarks=[
            replace(
                each, name=f"landmark {n}", pixels={names[k]: px for k, px in each.pixels.items()}
            )
            for n, each in enumerate(case.landmarks, start=1)
        ],
        structure_truths={new_names[name]: pose for name, pose in case.structure_truths.items()},
        patient_digests={},  # by which a guess can be confirmed
    )
    names_left = iter(new_names.values())
    bodies = [_renamed(body, names_left) for body in case.bodies]
    written = write_case(folder, {**kept, "views": views}, bodies, images, masks)
    notes = [
        "The files of CT, images and masks were written again as MetaImage and PNG, without any "
        "header, under neutral names.",
        "Pixels that no view uses (frames, text that was found, and beyond the field) are blank.",
        "Of the case.json its numbers were kept, and words that this program knows.",
    ]
    if renamed := sum(name != new for name, new in names.items()):
        notes.append(f"{renamed} view{'s were' if renamed > 1 else ' was'} renamed.")
    if case.landmarks:
        notes.append("Landmarks were renamed to numbers.")
    if file.patient_digests:
        notes.append("Left out of the case: patient_digests.")
    if any(name != new for name, new in new_names.items()):
        notes.append("Structures whose names are not usual ones of bones were renamed to numbers.")
    notes.append(
        "Look at each image: text that was not found is still there. So is the face in a CT of a "
        "head."
    )
    return AnonymisedCase(written, findings, notes)


def _findings(name: str, xray: XRay) -> ImageFindings:
    """Return the burned-in text and margins found in an X-ray, under its name in the anonymised copy."""
    found = xray.burned_in
    assert found is not None
    frame = "none"
    if found.margins.has_wide(xray.valid):
        frame = "not recognised"
    elif (found.margins.uniform & ~xray.valid).any():
        frame = "recognised"
    return ImageFindings(name, found.places, frame)


def _refuse_unrecognised(views: Sequence[ViewRecord], findings: Sequence[ImageFindings]) -> None:
    """Raise an InputError for images that may contain undetected text."""
    reasons = []
    for view, found in zip(views, findings, strict=True):
        dicom = read_dicom(view.image_path)
        if dicom is not None and dicom.text("BurnedInAnnotation") == "YES":
            reasons.append(f"{found.view} has burned-in text (BurnedInAnnotation is YES)")
        elif found.frame == "not recognised":
            reasons.append(f"{found.view} has wide uniform margins that are not recognised")
    if reasons:
        raise InputError(
            f"{'; '.join(reasons)}: text may remain. Look at the image, and add "
            "--accept-unrecognised, or give the view a mask of the pixels to use."
        )


def _new_names(names: list[str]) -> dict[str, str]:
    """Return the name of each view in the copy, by its original name."""
    plain = {name for name in names if _PLAIN_NAME.fullmatch(name)}
    new = {}
    for number, name in enumerate(names, start=1):
        neutral = f"view{number}"
        while neutral.casefold() in {other.casefold() for other in plain}:
            neutral += "b"
        new[name] = name if name in plain else neutral
    return new


def _renamed(body: Body, names: Iterator[str]) -> Body:
    """Return a copy of a body with its bones renamed to the next of these names."""
    own = tuple(islice(names, len(body.bone_names)))
    if body.name:
        return replace(body, name="".join(own))
    return replace(body, bones=replace(body.bones, names=own))


def _structure_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the structures in the copy."""
    kept = list(names)
    for n, name in enumerate(names):
        if not _PLAIN_STRUCTURE.fullmatch(name):
            kept[n] = f"structure {n + 1}"
    return tuple(kept)


def _image(given: ViewRecord, xray: XRay) -> tuple[RawImage, str]:
    """Return the image in "linear" or "log" convention, with unused pixels blanked, and the name of the convention.

    It needs no header, and has no inverted grey scale, shutter or distortion. Its line integrals are
    equal to the original up to an additive constant, to which the registration is invariant. With
    the X-ray's valid pixels as its mask, the valid pixels are equal, too.
    """
    raw = image_of(given)
    intensity, inverted = recognised(raw, given.intensity)
    values = raw.white - raw.values if inverted else raw.values
    step = raw.step
    if step and not (
        step == 1 and np.array_equal(values, np.rint(values))
    ):  # a file of whole numbers could not hold them
        values = values + (step / 2 if intensity == "linear" else 0)
        step = 0.0
    plain = replace(
        raw,
        values=values.astype(np.float32),
        step=step,
        pixel_mm=xray.pixel_mm,
        curve=None,
        bone_bright=None,
        open=None,
    )
    valid = xray.valid
    if valid.all():
        return plain, intensity
    blanked = [
        replace(plain, values=fill(plain.values, valid)) for fill in (_one_grey, smooth_continued)
    ]
    if intensity == "linear" and plain.values[
        valid
    ].min() + step / 2 < MIN_TRANSMISSION * np.nanmax(plain.values):
        for (
            image
        ) in blanked:  # the floor of the logarithm depends on the largest value, wherever that is
            image.values[tuple(np.argwhere(~valid)[0])] = np.nanmax(plain.values)
    for image in blanked:
        if np.array_equal(to_line_integrals(image, intensity).valid & valid, valid):
            return image, intensity
    return blanked[0], intensity


def _one_grey(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Replace the invalid pixels by their median."""
    beyond = values[~valid]
    beyond = beyond[np.isfinite(beyond)]
    return np.where(
        valid, values, np.float32(np.median(beyond) if beyond.size else np.median(values[valid]))
    )
