"""Case folders from what is in memory, with images as MetaImage."""

from __future__ import annotations

import io
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..imaging.ct import CT
from ..imaging.xray import RawImage
from .case_file import VERSION, CaseFile
from .files import staged
from .json_reader import printable

#: On a CT 9 gains 4 % of the size and takes several times as long.
COMPRESSION = 1

_TYPES = {"u1": "MET_UCHAR", "i2": "MET_SHORT", "u2": "MET_USHORT", "i8": "MET_LONG_LONG", "f4": "MET_FLOAT"}


def metaimage(values: np.ndarray, world_from_index: np.ndarray) -> bytes:
    """The file of an image.

    Parameters
    ----------
    values
        uint8, int16, uint16, int64 or float32, the fastest axis last: (rows, columns) or (nk, nj, ni).
    world_from_index
        (n + 1, n + 1) with orthogonal axes, takes (i, j, ..., 1) to LPS mm.
    """
    kind = _TYPES[values.dtype.str[1:]]
    data = zlib.compress(values.astype(values.dtype.newbyteorder("<")).tobytes(), COMPRESSION)
    n = values.ndim
    spacing = np.linalg.norm(world_from_index[:n, :n], axis=0)
    fields = {
        "ObjectType": "Image",
        "NDims": n,
        "BinaryData": True,
        "BinaryDataByteOrderMSB": False,
        "CompressedData": True,
        "CompressedDataSize": len(data),
        "TransformMatrix": _text((world_from_index[:n, :n] / spacing).T),
        "Offset": _text(world_from_index[:n, n]),
        "ElementSpacing": _text(spacing),
        "DimSize": " ".join(str(size) for size in values.shape[::-1]),
        "ElementType": kind,
        "ElementDataFile": "LOCAL",
    }
    return "".join(f"{key} = {value}\n" for key, value in fields.items()).encode() + data


def _text(numbers: np.ndarray) -> str:
    return " ".join(repr(float(number)) for number in numbers.ravel())


_FILES = ("ct", "ct_unit", "mask", "image", "frame")  # of which the writer knows better


def write_case(
    folder: str | os.PathLike,
    content: dict[str, Any],
    ct: CT,
    images: Mapping[str, RawImage],
    masks: Mapping[str, np.ndarray] | None = None,
) -> Path:
    """Write a folder with a case.json and all files that it names. Returns the path of the case.json.

    `Case.load` reads the same CT, images, masks and cameras to the last digit, and finds the same valid pixels as `to_line_integrals` does
    in the images.

    The version is this program's if the content has none. All files appear, or none; the case.json is the last one.

    Parameters
    ----------
    folder
        Is made if it is not there; a case in it is replaced.
    content
        What the case.json shall say, arrays allowed, but for the files and `ct_unit`: what names them is left out
        or replaced.
    ct
        Written as ct.mha, its mask, if any, as mask.mha.
    images
        By the view's name, written as view1.mha, view2.mha, ... A view's `intensity` in the content says what they
        are. Their step and pixel size are kept, their `curve` and an unusual `white` are not (only the intensity
        "auto" asks for those).
    masks
        (rows, columns) by the view's name, non-zero = use, for as many views as have one; written as
        view1_mask.png, ...

    Raises
    ------
    InputError
        Where the content is not that of a case, the folder cannot be written, or the disk is full.

    Warns
    -----
    UserWarning
        Of unknown keys.
    """
    folder = Path(folder)
    plain = json.loads(json.dumps(content, default=lambda array: array.tolist()))
    try:
        with staged(folder, last="case.json") as staging:
            files, views = _write_files(staging, plain["views"], ct, images, masks or {})
            written = {"version": VERSION, **files, **_without_files(plain), "views": views}
            path = staging / "case.json"
            try:
                CaseFile.from_json(path, written)
            except InputError as error:
                raise InputError(str(error).replace(printable(path), printable(folder / "case.json"), 1)) from None
            path.write_bytes(json.dumps(written, indent=1, allow_nan=False).encode() + b"\n")
    except OSError as error:
        raise InputError(
            f"{printable(folder)}: the case cannot be written there ({error.strerror or error}), expected a folder with room that "
            "may be written to; free some space, or choose another folder."
        ) from None
    return folder / "case.json"


def _write_files(
    folder: Path, views: list[dict], ct: CT, images: Mapping[str, RawImage], masks: Mapping[str, np.ndarray]
) -> tuple[dict[str, str], list[dict]]:
    """Writes all but the case.json. What that says of the CT's files, and its views with theirs."""
    named = {"ct": "ct.mha", "ct_unit": ct.unit}
    (folder / "ct.mha").write_bytes(metaimage(smallest(ct.volume.values), ct.volume.ct_from_index))
    if ct.mask is not None:
        named["mask"] = "mask.mha"
        (folder / "mask.mha").write_bytes(metaimage(ct.mask.astype(np.uint8), ct.volume.ct_from_index))
    with_files = []
    for number, view in enumerate(views, start=1):
        image = images[view["name"]]
        files = {"image": f"view{number}.mha"}
        (folder / files["image"]).write_bytes(metaimage(_stored(image), _pixels_mm(image)))
        if view["name"] in masks:
            files["mask"] = f"view{number}_mask.png"
            (folder / files["mask"]).write_bytes(_png(masks[view["name"]]))
        with_files.append({**_without_files(view), **files})
    return named, with_files


def _without_files(content: dict) -> dict:
    return {key: value for key, value in content.items() if key not in _FILES}


def smallest(values: np.ndarray) -> np.ndarray:
    """Float values as int16, if that holds them: it is half the size, and packs better."""
    low, high = np.iinfo(np.int16).min, np.iinfo(np.int16).max
    if low <= values.min() and values.max() <= high:
        whole = values.astype(np.int16)
        if np.array_equal(whole, values):
            return whole
    return values


def _stored(image: RawImage) -> np.ndarray:
    """The values in a type by which they are read with the same step."""
    if not image.step:
        return image.values
    low, high = image.values.min(), image.values.max()
    for kind in (np.uint8, np.uint16, np.int16):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return image.values.astype(kind)
    return image.values.astype(np.int64)


def _pixels_mm(image: RawImage) -> np.ndarray:
    """(3, 3): pixel size on the diagonal. 1 x 1 mm means an unknown size."""
    spacing = np.ones(2) if image.pixel_mm is None else np.array(image.pixel_mm)
    if image.pixel_mm == (1.0, 1.0):
        spacing[0] = np.nextafter(1.0, 2.0)
    return np.diag([*spacing, 1.0])


def _png(mask: np.ndarray) -> bytes:
    file = io.BytesIO()
    from PIL import Image  # optional in Slicer

    Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()
