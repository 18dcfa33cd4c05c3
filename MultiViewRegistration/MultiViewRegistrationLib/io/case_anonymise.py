"""A copy of a case that holds no identity.

Pixels, geometry and numbers are kept, headers and words are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..imaging.body import Body
from ..imaging.field import continued
from ..imaging.reading import RawImage
from ..imaging.xray import MIN_TRANSMISSION, XRay, recognised, to_line_integrals
from .case import Case, image_of
from .case_file import CaseFile
from .case_writer import write_case
from .dicom_geometry import ASSUMPTIONS
from .files import printable
from .view_record import ViewRecord

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


def anonymise(path: Path, folder: Path) -> tuple[Path, list[str]]:
    """Write a copy of the case at `path` into `folder`, new or empty.

    Images and CT are MetaImages, which have no header of a patient. The pixels that no view uses
    (beyond the field, burnt-in text) are blanked. Of the case.json those numbers and words stay
    that its record has; free text does not. Names of views stay where they are of the usual kind
    (AP, lateral, view 1).

    Returns
    -------
    path
        The new case.json.
    changes
        What was left out or changed, a sentence each.

    Raises
    ------
    InputError
        For a case that `Case.load` refuses, and a folder with something in it.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"{printable(folder)}: is there already, expected a new or empty folder; choose "
            "another."
        )
    case = Case.load(path)
    file = CaseFile.read(path)
    names = _new_names([view.name for view in file.views])
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
        world_from_ct=None if case.bodies[0].name else case.world_from_ct,
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
        "Pixels that no view uses (beyond the field, burnt-in text that was found) were blanked.",
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
        "Not taken out, look yourself: text burnt into the field of an image that was not found, "
        "and the face in a CT of a head."
    )
    return written, notes


def _new_names(names: list[str]) -> dict[str, str]:
    """Return the name of each view in the copy, by its present one."""
    plain = {name for name in names if _PLAIN_NAME.fullmatch(name)}
    new = {}
    for number, name in enumerate(names, start=1):
        neutral = f"view{number}"
        while neutral.casefold() in {other.casefold() for other in plain}:
            neutral += "b"
        new[name] = name if name in plain else neutral
    return new


def _renamed(body: Body, names: Iterator[str]) -> Body:
    """Return a body whose bones have the next of these names."""
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
    """Return the image with bright values as "linear" or "log" has them, blank where it is not used, and which of the two.

    It has no header to ask, no grey scale turned round, no shutter and no distortion, and gives the
    same line integrals but for a constant, which is free; with the X-ray's valid pixels as its
    mask, the same valid pixels.
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
    blanked = [replace(plain, values=fill(plain.values, valid)) for fill in (_one_grey, continued)]
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
    """Put the median of the invalid pixels in place of each of them."""
    beyond = values[~valid]
    beyond = beyond[np.isfinite(beyond)]
    return np.where(
        valid, values, np.float32(np.median(beyond) if beyond.size else np.median(values[valid]))
    )
