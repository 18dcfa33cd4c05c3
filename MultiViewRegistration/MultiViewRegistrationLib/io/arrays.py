"""A case's parts from what a Python program holds.

NumPy arrays, PyTorch tensors, images of SimpleITK and nibabel, paths of files.

Every error is one sentence that begins with the argument it is about.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, naming, warn
from ..geometry import rigid
from ..geometry.camera import Camera, check_size
from ..geometry.fields import SLOT_SCAN_UNCERTAINTY, UNCERTAINTY
from ..geometry.machines import CArm
from ..geometry.rigid import array_of, kind_of
from ..imaging import body
from ..imaging.body import NO_STRUCTURES, Structures, StructureSource, bone_of_ct, check_names
from ..imaging.ct import CT, ct_from_array, load_ct, masked, per_mm_of
from ..imaging.ct_series import ct_folder
from ..imaging.field import bone_is_bright
from ..imaging.image_source import is_dicom
from ..imaging.reading import RawImage, StoredImage, affine_of, raw_image, read_image, undistorted
from ..imaging.segmentation import read_structures, structures_of_array
from ..imaging.xray import load_image
from .case_file import names_of_bones, new_uid
from .dicom_identity import read_identity, read_volume
from .files import InputFile, JsonObject, printable
from .transforms import LPS_FROM_RAS, in_lps
from .view_record import (
    INTENSITIES,
    Geometry,
    ViewRecord,
    default_intensity,
    read_uncertainty,
    view_name,
)

BONE_DARK = "Bone is taken to be dark in the image"
BONE_BRIGHT = "Bone is bright in the image, whose values are taken as line integrals"
#: A CT shorter than this in every direction has its position in metres.
MIN_CT_MM = 3.0
#: Share of an image by which its principal point is off the middle, before rows and columns may
#: have been swapped.
OFF_CENTRE = 0.2
PASS_PROJECTION = "pass CArm(...), a Camera or a matrix as the projection of the View"
#: Share of negative values that noise about 0 may leave in an image of detected intensity.
MAX_NEGATIVE = 0.02


@dataclass(frozen=True, eq=False)
class View:
    """An X-ray, for `Case.from_arrays`.

    Attributes
    ----------
    image
        (rows, columns) detected intensity with bone dark unless `intensity` says otherwise; an
        image of SimpleITK or nibabel, or a path, as well.
    projection
        A (3, 4) matrix from world LPS mm to pixels (column, row), a `Camera` or a `CArm`; None for
        a DICOM path whose header says it.
    name
        By default view1, view2, ...
    intensity
        "linear" (bone dark), "log" (line integrals, bone bright) or "auto" (as the image shows).
    pixel_mm
        Between columns, and between rows, on the detector.
    mask
        (rows, columns), other than 0 where it is to be used.
    size
        (columns, rows) of the images that a matrix was calibrated for; an image of another size is
        refused. By default an image that looks cropped is treated with caution. Only beside a
        matrix: a `Camera` and a `CArm` have a size of their own.
    uncertainty
        Standard deviations of the camera: rotation_sd_deg, translation_sd_mm,
        principal_point_sd_px, distance_sd_percent (0 = exact, None = unknown); by default those
        usual for a `CArm`, readings, and for a matrix or `Camera`. Two of the latter are only ever
        accepted where principal_point_sd_px is given, 0.5 of a calibration.
    """

    image: Any
    projection: Any = None
    name: str = ""
    intensity: str | None = None
    pixel_mm: Any = None
    mask: Any = None
    uncertainty: Mapping[str, float | None] | None = None
    size: Any = None


@dataclass(frozen=True, eq=False)
class Body:
    """A CT, that of a bone with a CT of its own, or an implant, for `Case.from_arrays`.

    Attributes
    ----------
    ct
        (I, J, K), k across the slices. An image or a path (file or DICOM folder) takes no
        `ct_from_index`. Also the `ct` of another case.
    ct_from_index
        (4, 4), takes voxel index (i, j, k, 1) to CT LPS mm.
    name
        Of a bone with a CT of its own, or of an implant.
    unit
        "hu", "relative" (0 = nothing, larger = denser), or what an implant is made of, see
        `imaging.ct.per_mm_of`.
    world_from_ct
        (4, 4) rigid start pose; not needed.
    mask
        The structure to register alone, other than 0 where it is, on the CT's grid.
    labels
        Whole numbers on the CT's grid, in the order of its axes, that are the same within each bone
        and 0 elsewhere: each bone gets a pose of its own. Images and paths (also of a DICOM
        segmentation or .seg.nrrd) may lie on another grid.
    structures
        Which of the labels, by name: {"L1": 31, "L2": 30}; or a list of names of segments, where
        the file has names. By default all.
    """

    ct: Any
    ct_from_index: Any = None
    name: str = ""
    unit: str = "hu"
    world_from_ct: Any = None
    mask: Any = None
    labels: Any = None
    structures: Mapping[str, int] | Sequence[str] | None = None


def sorted_parts(parts: Sequence[Any], axes: Any) -> tuple[list[Body], list[View]]:
    """Return the bodies and the views among the parts of `Case.from_arrays`, in LPS.

    Raises
    ------
    InputError
        For anything else, and where either are missing.
    """
    wrong = []
    bodies = []
    views = []
    for part in parts:
        if isinstance(part, Body):
            placed = {"ct_from_index": part.ct_from_index, "world_from_ct": part.world_from_ct}
            ct = ct_folder(Path(part.ct)) if is_path(part.ct) else part.ct
            bodies.append(replace(part, ct=ct, **in_lps(axes, **placed)))
        elif isinstance(part, View):
            views.append(replace(part, **in_lps(axes, projection=part.projection)))
        else:
            wrong.append(part)
    if wrong or not (bodies and views):
        found = kind_of(wrong[0]) if wrong else f"{len(bodies)} bodies and {len(views)} views"
        raise InputError(
            f"Case.from_arrays: found {found}, expected the CT and X-rays; write Body(ct, "
            "ct_from_index) and, for each X-ray, View(image, projection)."
        )
    return bodies, views


def identities(
    bodies: Sequence[Body], names: Sequence[str], views: Sequence[View]
) -> list[tuple[str, dict[str, str]]]:
    """Return what is compared of the parts that are paths, by name, see `dicom_identity.mismatches`.

    Parameters
    ----------
    names
        Of the views.
    """
    first, *others = bodies
    ct_name = f"the CT of {first.name}" if first.name else "ct"
    volumes = [(ct_name, first.ct), ("labels", first.labels), ("mask", first.mask)]
    images = [(f"the CT of {each.name}", each.ct) for each in others]
    images += [(name, view.image) for name, view in zip(names, views, strict=True)]
    return [
        *((name, read_volume(Path(each))) for name, each in volumes if is_path(each)),
        *((name, read_identity(Path(each))) for name, each in images if is_path(each)),
    ]


def is_path(value: Any) -> bool:
    """Return whether a value names a file or folder."""
    return isinstance(value, (str, os.PathLike))


def ct_of_arrays(ct: Any, ct_from_index: Any, unit: str, mask: Any) -> CT:
    """Return the CT of `Case.from_arrays`, with its structure.

    Raises
    ------
    InputError
        As `load_ct`, and for an array without its position, or with axes in another order.
    """
    if isinstance(ct, CT):
        _refuse_position(ct, ct_from_index)
        found = ct
    elif is_path(ct):
        _refuse_position(ct, ct_from_index)
        found = load_ct(ct, unit, mask=mask if is_path(mask) else None)
    else:
        values, place = _volume("ct", ct, ct_from_index)
        if place is None:
            raise InputError(
                "ct_from_index: is missing, expected the 4x4 matrix from voxel index (i, j, k) to "
                "LPS mm; give it, or give the CT as an image of SimpleITK or nibabel, or as a path."
            )
        found = ct_from_array(values, place, unit, name="ct")
        _check_extent(found)
    if mask is None or found.mask is not None and is_path(mask):
        return found
    if is_path(mask):
        values, place = _volume("mask", read_image(mask), None)
    else:
        values, place = _volume("mask", mask, None)
    if place is not None and not np.allclose(place, found.volume.ct_from_index, rtol=0, atol=1e-3):
        raise InputError(
            "mask: lies on another grid than the CT, expected the CT's; resample it to that."
        )
    return masked(found, values, "mask")


def bodies_of_arrays(given: Sequence[Body], of_case: Mapping[str, Any]) -> list[body.Body]:
    """Return the bodies of `Case.from_arrays`.

    Parameters
    ----------
    of_case
        The arguments beside them that belong to one CT, by name: bones with a CT each have none.

    Raises
    ------
    InputError
        As `ct_of_arrays`.
    """
    found = []
    apart = given
    if not given[0].name and all(map(_is_implant, given[1:])):
        one, *apart = given
        own = ct_of_arrays(one.ct, one.ct_from_index, one.unit, one.mask)
        bones = structures_of_arrays(one.labels, one.structures, own)
        found.append(body.Body(own, "", _start(one), new_uid(), bones))
        of_case = {}
    names = [view_name(JsonObject("Body", "", {"name": each.name}), "structure") for each in apart]
    check_names([*names_of_bones(found), *names])
    for name, each in zip(names, apart, strict=True):
        with naming(f'structure "{name}"'):
            of_one_ct = {"mask": each.mask, "labels": each.labels, "structures": each.structures}
            for argument, value in {**of_one_ct, **of_case}.items():
                if value is not None:
                    raise InputError(
                        f"{argument}: stands beside a bone with a CT of its own, expected none, as "
                        "it belongs to the CT of a body; leave it out."
                    )
            own = ct_of_arrays(each.ct, each.ct_from_index, each.unit, None)
            found.append(body.Body(bone_of_ct(own, "ct"), name, _start(each), new_uid()))
    return found


def _is_implant(given: Body) -> bool:
    unit = given.ct.unit if isinstance(given.ct, CT) else given.unit
    return bool(given.name and per_mm_of(unit))


def _start(given: Body) -> np.ndarray | None:
    key = "world_from_ct"
    pose = given.world_from_ct
    return None if pose is None else rigid.check_rigid(array_of(key, pose), key)


def structures_of_arrays(labels: Any, structures: Any, ct: CT) -> Structures:
    """Return the structures of `Case.from_arrays`, on the grid of the CT.

    Raises
    ------
    InputError
        As `read_structures`, and for names and labels that are none.
    """
    if labels is None:
        if structures is not None:
            raise InputError(
                "labels: is missing beside structures, expected the volume with their labels; give "
                "it."
            )
        return NO_STRUCTURES
    if ct.mask is not None:
        raise InputError("mask: stands beside labels, expected one of the two; leave one out.")
    sources = _structure_sources(structures)
    if is_path(labels):
        return read_structures(Path(labels), sources, ct)
    values, place = _volume("labels", labels, None)
    return structures_of_array(values, place, sources, ct)


def _structure_sources(structures: Any) -> list[StructureSource]:
    expected = '{"L1": 31, "L2": 30}, or a list of names'
    if structures is None:
        return []
    if is_path(structures) or not hasattr(structures, "__iter__") or not len(structures):
        raise InputError(
            f"structures: found {kind_of(structures)}, expected {expected}; leave it out for all "
            "labels."
        )
    sources = []
    for n, name in enumerate(structures):
        fields = JsonObject("structures", f"structures[{n}]", {"name": name})
        label = structures[name] if isinstance(structures, Mapping) else None
        if label is not None and (
            isinstance(label, bool) or not isinstance(label, (int, np.integer))
        ):
            raise InputError(
                f"structures: found {kind_of(label)} as a label, expected {expected}; correct it."
            )
        sources.append(
            StructureSource(view_name(fields, "structure"), None if label is None else int(label))
        )
    return sources


def _volume(name: str, volume: Any, ct_from_index: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the values (nk, nj, ni) and their matrix (4, 4) to LPS mm.

    None for an array without.
    """
    if isinstance(volume, StoredImage):
        if len(volume.size) != 3:
            raise InputError(
                f"{name}: the image has {len(volume.size)} dimensions, expected 3; give the volume."
            )
        return volume.values, volume.ct_from_index
    if _is_simpleitk(volume):
        _refuse_position(volume, ct_from_index)
        if volume.GetDimension() != 3:
            raise InputError(
                f"{name}: found a SimpleITK image of {volume.GetDimension()} dimensions, expected "
                "3; give the volume."
            )
        return _values(volume), affine_of(
            volume.GetSpacing(), volume.GetOrigin(), volume.GetDirection()
        )
    if _is_nibabel(volume):
        _refuse_position(volume, ct_from_index)
        return _transposed(name, volume.dataobj), LPS_FROM_RAS @ np.asarray(volume.affine, float)
    values = _transposed(name, volume)
    if ct_from_index is None:
        return values, None
    place = rigid.check_numbers(array_of("ct_from_index", ct_from_index), (4, 4), "ct_from_index")
    if not np.array_equal(place[3], (0, 0, 0, 1)):
        raise InputError(
            f"ct_from_index: last row is {', '.join(f'{x:g}' for x in place[3])}, expected 0, 0, "
            "0, 1; is the matrix transposed?"
        )
    _check_order(values.shape[::-1], rigid.steps(place))
    return values, place


def _transposed(name: str, volume: Any) -> np.ndarray:
    values = array_of(name, volume)
    if values.ndim != 3:
        raise InputError(
            f"{name}: found {kind_of(values)}, expected a volume of shape (I, J, K); leave out the "
            "other axes."
        )
    return values.transpose(2, 1, 0)


def _is_simpleitk(value: Any) -> bool:
    loaded = sys.modules.get("SimpleITK")  # by who made the image
    return loaded is not None and isinstance(value, loaded.Image)


def _values(image: Any) -> np.ndarray:
    """Return the values of a SimpleITK image, which must outlive them."""
    import SimpleITK as sitk

    return sitk.GetArrayViewFromImage(image)


def _is_nibabel(value: Any) -> bool:
    return hasattr(value, "dataobj") and hasattr(value, "affine")


def _refuse_position(ct: Any, ct_from_index: Any) -> None:
    if ct_from_index is not None:
        raise InputError(
            f"ct_from_index: the CT, {'a path' if is_path(ct) else kind_of(ct)}, has its own "
            "position; leave ct_from_index out, or give the CT as an array."
        )


def _check_order(size: tuple[int, ...], spacing: np.ndarray) -> None:
    """Refuse an array whose axes are in the order of SimpleITK or DICOM.

    Slices are square far more often than (j, k) planes are: sizes (K, J, I) betray it.
    """
    if size[0] == size[1] or size[1] != size[2]:
        return
    found = f"ct: has the shape {size}, whose last two axes look like the slices' columns and rows"
    mend = "pass ct.transpose(2, 1, 0) if it came from SimpleITK or DICOM"
    if np.isclose(spacing[0], spacing[1]) and not np.isclose(spacing[1], spacing[2], rtol=0.05):
        raise InputError(
            f"{found}, but in ct_from_index they are the first two; expected (I, J, K), slices "
            f"last; {mend}."
        )
    warn(f"{found}, but is taken as (I, J, K), slices last; {mend}.")


def _check_extent(ct: CT) -> None:
    extent = ct.volume.spacing_mm * ct.volume.size
    if extent.max() < MIN_CT_MM:
        text = " x ".join(f"{mm:.2g}" for mm in extent)
        raise InputError(
            f"ct_from_index: makes the CT {text} mm large, expected millimetres; multiply its "
            "upper three rows by 1000 if it is in metres."
        )


def views_of_arrays(given: Sequence[View]) -> list[tuple[ViewRecord, RawImage]]:
    """Return the views of `Case.from_arrays`, as `case.views_of` takes them, and their images without distortion.

    Raises
    ------
    InputError
        For images and projections that are not as described there, or do not belong together.

    Warns
    -----
    UserWarning
        Of images that look otherwise than they are taken.
    """
    raws = [_raw_of(f"views[{n}]", view) for n, view in enumerate(given)]
    records = [_record(n, view, raw) for n, (view, raw) in enumerate(zip(given, raws))]
    by_header = [n for n, record in enumerate(records) if record.geometry is None]
    if by_header:
        from .view_headers import complete_by_headers

        gaps = [records[n] for n in by_header]
        completed = complete_by_headers("the case", gaps, PASS_PROJECTION)
        for n, record in zip(by_header, completed, strict=True):
            records[n] = record
    called = [record.name.casefold() for record in records]
    if repeated := next((n for n, name in enumerate(called) if name in called[:n]), 0):
        raise InputError(
            f'views[{repeated}].name: found "{records[repeated].name}" twice, expected a name of '
            "its own for each view; rename one."
        )
    return [_view(*each) for each in zip(given, records, raws, strict=True)]


def _record(n: int, view: View, raw: RawImage) -> ViewRecord:
    """Return a view as far as it is given; without a geometry where a header is to say it."""
    field = f"views[{n}]"
    image = view.image
    file = InputFile(os.path.abspath(image), Path(image).absolute()) if is_path(image) else None
    projection = f"{field}.projection"
    if view.projection is None and not (file and is_dicom(file.path)):
        raise InputError(
            f"{projection}: is missing, expected a 3x4 matrix from world mm to pixels, a Camera or "
            "a CArm; only the path of a DICOM file may leave it to its header."
        )
    if view.size is not None and isinstance(view.projection, (Camera, CArm)):
        raise InputError(
            f"{field}.size: the projection is {kind_of(view.projection)}, which has a size of its "
            "own. Remove size."
        )
    with naming(field):
        size = None if view.size is None else check_size(view.size)
    return ViewRecord(
        name=view_name(JsonObject("the case", field, {"name": view.name or f"view{n + 1}"})),
        image=file,
        geometry=None if view.projection is None else _geometry(projection, view.projection, raw),
        size=size,
        field=field,
        geometry_field=projection,
    )


def _view(given: View, record: ViewRecord, raw: RawImage) -> tuple[ViewRecord, RawImage]:
    intensity = given.intensity
    uncertainty = {} if given.uncertainty is None else given.uncertainty
    if not isinstance(uncertainty, Mapping):
        raise InputError(
            f"{record.field}.uncertainty is {kind_of(uncertainty)}, not a dictionary of standard "
            'deviations. Pass for example {"principal_point_sd_px": 0.5}.'
        )
    if intensity not in (None, *INTENSITIES):
        raise InputError(
            f"{record.field}.intensity: found {printable(repr(intensity))}, expected one of "
            f"{', '.join(INTENSITIES)}; correct it."
        )
    assumed = record.assumptions
    if (
        record.image is not None
        and intensity is None
        and default_intensity(record.image_path, None) == "auto"
    ):
        intensity = "auto"  # as its header says
    elif intensity != "log":
        assumed += tuple(_polarity(record.field, raw, intensity))
    if unknown := [key for key in uncertainty if key not in SLOT_SCAN_UNCERTAINTY]:
        raise InputError(
            f'{record.field}.uncertainty: found "{unknown[0]}", expected '
            f"{', '.join(UNCERTAINTY)}; correct it."
        )
    stated = JsonObject("the case", f"{record.field}.uncertainty", dict(uncertainty))
    record = replace(
        record,
        intensity=intensity or INTENSITIES[0],
        uncertainty=read_uncertainty(stated, record.kind),
        assumptions=assumed,
    )
    return record, undistorted(raw, record.lens)


def _polarity(name: str, raw: RawImage, intensity: str | None) -> list[str]:
    """Return what is assumed of whether bone is dark, a sentence each."""
    finite = np.isfinite(raw.values)
    if intensity != "auto" and np.count_nonzero(raw.values < 0) > MAX_NEGATIVE * raw.values.size:
        raise InputError(
            f"{name}: has values below 0, expected detected intensity with bone dark; give the "
            "image before it was normalised, or say "
            'intensity="log" if these are line integrals.'
        )
    if intensity == "linear" or not finite.any():
        return []
    bright = bone_is_bright(
        raw.values if finite.all() else np.where(finite, raw.values, np.median(raw.values[finite]))
    )
    if intensity == "auto":
        return [BONE_BRIGHT] if bright and raw.bone_bright is None else []
    if bright:
        warn(
            f'{name}: bone looks bright, but is taken to be dark; say intensity="log" if the image holds line integrals, else "linear".'
        )
    return [] if bright is False else [BONE_DARK]


def _raw_of(name: str, view: View) -> RawImage:
    image = view.image
    if is_path(image):
        return load_image(image)
    spacing: Sequence[float] | None = None
    if _is_simpleitk(image):
        values = _values(image)
        spacing = image.GetSpacing()
        values = values[0] if image.GetDimension() == 3 and len(values) == 1 else values
    elif _is_nibabel(image):
        values = array_of(name, image.dataobj)
        spacing = image.header.get_zooms()
        values = (values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values).T
    else:
        values = array_of(name, image)
    pixel_mm = view.pixel_mm
    if pixel_mm is None and spacing is not None and tuple(spacing[:2]) != (1.0, 1.0):
        pixel_mm = spacing[:2]
    if pixel_mm is not None:
        given = rigid.check_numbers(pixel_mm, np.shape(pixel_mm), f"{name}.pixel_mm")
        pixel_mm = tuple(np.broadcast_to(given, 2).tolist())
    with naming(name):
        return raw_image(values, pixel_mm)


def _geometry(name: str, projection: Any, raw: RawImage) -> Geometry:
    rows, columns = raw.values.shape
    if not isinstance(projection, (CArm, Camera)):
        matrix = rigid.check_numbers(array_of(name, projection), (3, 4), name)
        try:
            camera = Camera.from_projection_matrix(matrix, (columns, rows))
        except InputError as error:
            raise InputError(str(error).replace("projection_matrix", name, 1)) from None
        _check_rows_and_columns(name, camera)
        return matrix
    if projection.size == (rows, columns) != (columns, rows):
        raise InputError(
            f"{name}: is for {rows} columns and {columns} rows, but the image has {columns} "
            f"columns and {rows} rows; images are expected as (rows, columns), so transpose it."
        )
    return projection


def _check_rows_and_columns(name: str, camera: Camera) -> None:
    """Refuse an image whose rows and columns were swapped.

    Its principal point is far off the middle, and in it once they are swapped back.
    """
    size = np.array(camera.size)
    off, swapped = (
        np.abs(camera.principal_point / each - 0.5).max() for each in (size, size[::-1])
    )
    if off > OFF_CENTRE > 4 * swapped:
        u, v = camera.principal_point
        warn(
            f"{name}: its principal point ({u:.0f}, {v:.0f}) is far off the middle of an image of "
            f"{size[0]} columns and {size[1]} rows; images are expected as (rows, columns), so "
            "transpose it if it is (columns, rows)."
        )
