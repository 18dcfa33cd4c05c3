"""A copy of a case that holds no identity.

Pixels, geometry and numbers are kept, headers and words are not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from ..errors import InputError
from ..imaging.body import Body
from ..imaging.xray import MIN_TRANSMISSION, RawImage, XRay, recognised, to_line_integrals
from .case import Case, image_of
from .case_file import CaseFile
from .case_writer import write_case
from .dicom_geometry import ASSUMPTIONS
from .files import printable, read_json
from .view_record import DESCRIBED, GEOMETRIES, ViewRecord

SCHEMA = Path(__file__).with_name("case.schema.json")
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
_FILES = {"ct", "ct_series", "mask", "labels", "structures", "image", "frame"}


def anonymise(path: Path, folder: Path) -> tuple[Path, list[str]]:
    """Write a copy of the case at `path` into `folder`, new or empty.

    Images and CT are MetaImages, which have no header of a patient. The pixels that no view uses
    (beyond the field, burnt-in text) are blanked. Of the case.json those numbers and words stay
    that its schema names; free text does not. Names of views stay where they are of the usual kind
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
    content = read_json(file.path)
    names = _new_names([view.name for view in file.views])
    for entry, given in zip(content["views"], file.views, strict=True):
        if given.marker:  # whose camera was found
            without = {key: value for key, value in entry.items() if key not in GEOMETRIES}
            entry.clear()
            entry |= without | given.geometry_json | dict(given.uncertainty)
            entry["marker"] = {"fixed_to": given.marker}
        elif given.kind in DESCRIBED:  # some may come from a header
            entry |= given.flat.geometry_json
    kept, dropped = without_free_text(content)
    images = {}
    masks = {}
    for entry, given, view in zip(kept["views"], file.views, case.views, strict=True):
        entry["name"] = names[given.name]
        if given.assumptions:
            entry["assumptions"] = [
                sentence for sentence in given.assumptions if sentence in ASSUMPTIONS
            ]
        entry.pop("distortion", None)  # the image is written without, and flat
        images[entry["name"]], entry["intensity"] = _image(given, view.xray)
        masks[entry["name"]] = view.xray.valid
    for number, (landmark, loaded) in enumerate(
        zip(kept.get("landmarks", []), case.landmarks), start=1
    ):
        landmark["name"] = f"landmark {number}"
        landmark["views"] = {
            names[name]: np.asarray(pixel).tolist() for name, pixel in loaded.pixels.items()
        }
    if case.mismatches:  # which the files do not say any more
        kept["header_mismatch"] = {each.kind: True for each in case.mismatches}
    new_names = _structure_names(case.bone_names)
    if "structures" in kept.get("truth", {}):
        renamed = dict(zip(case.bone_names, new_names, strict=True))
        kept["truth"]["structures"] = {
            renamed[name]: pose for name, pose in kept["truth"]["structures"].items()
        }
    names_left = iter(new_names)
    bodies = [_renamed(body, names_left) for body in case.bodies]
    written = write_case(folder, kept, bodies, images, masks)
    notes = _notes(file, names, content, dropped)
    if new_names != case.bone_names:
        notes.insert(
            -1, "Structures whose names are not usual ones of bones were renamed to numbers."
        )
    return written, notes


def without_free_text(content: dict) -> tuple[dict, set[str]]:
    """Return a case (parsed JSON) without free text, and the keys that were left out, but for those of files.

    What stays are numbers, words that its schema lists, and the names of its views and landmarks.
    """
    dropped = {"patient_digests"} & content.keys()  # by whose digests a guess can be confirmed
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    rest = {key: value for key, value in content.items() if key not in dropped}
    return _kept(rest, schema, schema, dropped), dropped


def _kept(value: Any, schema: dict, root: dict, dropped: set[str]) -> Any:
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    if isinstance(value, dict):
        kept = {}
        for key, item in value.items():
            inner = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
            if isinstance(inner, dict) and (
                not isinstance(item, str) or key == "name" or item in inner.get("enum", ())
            ):
                kept[key] = _kept(item, inner, root, dropped)
            elif key not in _FILES:
                dropped.add(key)
        return kept
    if isinstance(value, list):
        items = schema.get("items", {})
        return [_kept(item, items, root, dropped) for item in value if not isinstance(item, str)]
    return value


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
    if body.bones is None:
        return replace(body, name="".join(own))
    return replace(body, bones=replace(body.bones, names=own))


def _structure_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the structures in the copy."""
    numbered = enumerate(names, start=1)
    return tuple(
        name if _PLAIN_STRUCTURE.fullmatch(name) else f"structure {number}"
        for number, name in numbered
    )


def _image(given: ViewRecord, xray: XRay) -> tuple[RawImage, str]:
    """Return the image with bright values as "linear" or "log" has them, blank where it is not used, and which of the two.

    It has no header to ask, no grey scale turned round, no shutter and no distortion, and gives the
    same line integrals but for a constant, which is free; with the X-ray's valid pixels as its
    mask, the same valid pixels.
    """
    raw = image_of(given)
    intensity, inverted = recognised(raw) if given.intensity == "auto" else (given.intensity, False)
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
    blanked = [replace(plain, values=fill(plain.values, valid)) for fill in (_one_grey, _going_on)]
    if intensity == "linear" and plain.values[
        valid
    ].min() + step / 2 < MIN_TRANSMISSION * np.nanmax(plain.values):
        for (
            image
        ) in blanked:  # the floor of the logarithm depends on the largest value, wherever that is
            image.values[tuple(np.argwhere(~valid)[0])] = np.nanmax(plain.values)
    same_field = (
        image
        for image in blanked
        if np.array_equal(to_line_integrals(image, intensity).valid & valid, valid)
    )
    return next(same_field, blanked[0]), intensity


def _one_grey(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Put the median of the invalid pixels in place of each of them."""
    beyond = values[~valid]
    beyond = beyond[np.isfinite(beyond)]
    return np.where(
        valid, values, np.float32(np.median(beyond) if beyond.size else np.median(values[valid]))
    )


def _going_on(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Put the nearest valid pixel's value in place of each invalid one.

    `find_field` sees no border of a narrower field in that.
    """
    return values[
        tuple(ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True))
    ]


def _notes(file: CaseFile, names: dict[str, str], content: dict, dropped: set[str]) -> list[str]:
    known = json.loads(SCHEMA.read_text(encoding="utf-8"))["properties"]
    notes = [
        "The files of CT, images and masks were written again as MetaImage and PNG, without any "
        "header, under neutral names.",
        "Pixels that no view uses (beyond the field, burnt-in text that was found) were blanked.",
    ]
    renamed = sum(name != new for name, new in names.items())
    if renamed:
        notes.append(f"{renamed} view{'s were' if renamed > 1 else ' was'} renamed.")
    if "landmarks" in content:
        notes.append("Landmarks were renamed to numbers.")
    dropped_known = sorted(dropped & known.keys())
    if dropped_known:
        notes.append(f"Left out of the case: {', '.join(dropped_known)}.")
    if others := len(dropped - known.keys()):
        notes.append(
            f"{others} key{'s' * (others > 1)} of the case with free text, or that this program "
            f"does not know, {'were' if others > 1 else 'was'} left out."
        )
    notes.append(
        "Not taken out, look yourself: text burnt into the field of an image that was not found, "
        "and the face in a CT of a head."
    )
    return notes
