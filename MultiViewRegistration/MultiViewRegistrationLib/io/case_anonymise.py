"""A copy of a case that holds no identity: pixels, geometry and numbers are kept, headers and words are not."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..imaging.xray import RawImage, load_image, recognised
from .case import Case
from .case_file import VERSION, CaseFile, ViewFile
from .case_writer import write_case
from .fields import read_json, shown
from .migrations import up_to_date

SCHEMA = Path(__file__).with_name("case.schema.json")
#: A view's name that is made of these alone tells nothing of a person.
_PLAIN_NAME = re.compile(r"(view|camera|ap|pa|lat|lateral|oblique|inlet|outlet|lao|rao|cra|cau|left|right)?[ _-]?\d{0,2}", re.IGNORECASE)
_FILES = {"ct", "mask", "image", "frame"}


def anonymise(path: Path, folder: Path) -> tuple[Path, list[str]]:
    """Write a copy of the case at `path` into `folder`, new or empty. The new case.json, and what was left out or changed, a sentence each.

    Images and CT are MetaImages, which have no header of a patient. The pixels that no view uses (beyond the field, burnt-in text) are
    blanked. Of the case.json those numbers and words stay that its schema names; free text does not. Names of views stay where they are
    of the usual kind (AP, lateral, view 1).

    Raises InputError for a case that `Case.load` refuses, and a folder with something in it.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{shown(folder)}: is there already, expected a new or empty folder; choose another.")
    case, file = Case.load(path), CaseFile.read(path)
    content = up_to_date(read_json(file.path), VERSION)
    names = _new_names([view.name for view in file.views])
    kept, dropped = without_free_text(content)
    images, masks = {}, {}
    for entry, given, view in zip(kept["views"], file.views, case.views, strict=True):
        entry["name"] = names[given.name]
        images[entry["name"]], entry["intensity"] = _image(given, view.xray.valid, view.xray.pixel_mm)
        masks[entry["name"]] = view.xray.valid
    for number, landmark in enumerate(kept.get("landmarks", []), start=1):
        landmark["name"] = f"landmark {number}"
        landmark["views"] = {names[name]: pixel for name, pixel in landmark["views"].items()}
    written = write_case(folder, kept, case.ct, images, masks)
    return written, _told(file, names, content, dropped)


def without_free_text(content: dict) -> tuple[dict, set[str]]:
    """What a case (parsed JSON) says in numbers and in words that its schema lists, with the names of its views and landmarks; and the
    keys that were left out, but for those of files."""
    schema, dropped = json.loads(SCHEMA.read_text(encoding="utf-8")), set()
    return _kept(content, schema, schema, dropped), dropped


def _kept(value: Any, schema: dict, root: dict, dropped: set[str]) -> Any:
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    if isinstance(value, dict):
        kept = {}
        for key, item in value.items():
            inner = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
            if isinstance(inner, dict) and (not isinstance(item, str) or key == "name" or item in inner.get("enum", ())):
                kept[key] = _kept(item, inner, root, dropped)
            elif key not in _FILES:
                dropped.add(key)
        return kept
    if isinstance(value, list):
        items = schema.get("items", {})
        return [_kept(item, items, root, dropped) for item in value if not isinstance(item, str)]
    return value


def _new_names(names: list[str]) -> dict[str, str]:
    """The name of each view in the copy, by its own."""
    plain = {name for name in names if _PLAIN_NAME.fullmatch(name)}
    new = {}
    for number, name in enumerate(names, start=1):
        neutral = f"view{number}"
        while neutral.casefold() in {other.casefold() for other in plain}:
            neutral += "b"
        new[name] = name if name in plain else neutral
    return new


def _image(given: ViewFile, valid: np.ndarray, pixel_mm: tuple[float, float] | None) -> tuple[RawImage, str]:
    """The image with bright values as "linear" or "log" has them, blank where it is not used, and which of the two."""
    raw = load_image(given.image.path, given.frame)
    intensity = given.intensity
    values = raw.values
    if intensity == "auto":  # the copy has no header to ask, nor a grey scale turned round
        intensity, inverted = recognised(raw)
        values = raw.white - values if inverted else values
    if not valid.all():
        values = np.where(valid, values, np.median(values[~valid]))
    return replace(raw, values=values.astype(np.float32), pixel_mm=pixel_mm), intensity


def _told(file: CaseFile, names: dict[str, str], content: dict, dropped: set[str]) -> list[str]:
    known = json.loads(SCHEMA.read_text(encoding="utf-8"))["properties"]
    told = ["The files of CT, images and masks were written anew as MetaImage and PNG, without any header, under neutral names.",
            "Pixels that no view uses (beyond the field, burnt-in text that was found) were blanked."]
    renamed = sum(name != new for name, new in names.items())
    if renamed:
        told.append(f"{renamed} view{'s were' if renamed > 1 else ' was'} renamed.")
    if "landmarks" in content:
        told.append("Landmarks were renamed to numbers.")
    dropped_known = sorted(dropped & known.keys())
    if dropped_known:
        told.append(f"Left out of the case: {', '.join(dropped_known)}.")
    if others := len(dropped - known.keys()):
        told.append(f"{others} key{'s' * (others > 1)} of the case with free text, or that this program does not know, "
                    f"{'were' if others > 1 else 'was'} left out.")
    told.append("Not taken out, look yourself: text burnt into the field of an image that was not found, and the face in a CT of a head.")
    return told
