"""The geometry of an X-ray: from its DICOM header, C-arm angles and distances, or a matrix.

Described in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, naming
from ..geometry import rigid
from ..geometry.camera import Camera, Distortion
from ..geometry.fields import TABLES, describe_uncertainty
from ..geometry.machines import CArm, SlotScan, angle, side_of_direction
from ..imaging.dicom_file import read_dicom
from ..io.dicom_geometry import AT_PATIENT, BY_TUBE_ANGLE, EOS_LATERAL, FAR_SIDE, IN_IMAGE
from ..io.files import JsonObject
from ..io.isocentre import TABLE_MOVED, Stand, moved_mm, share_isocentre
from ..io.localizer import is_eos, mismatch, read_slot_scan, world_of
from ..io.placement import meeting_point, resolve_projection_signs, sees
from ..io.view_headers import read_c_arm
from ..io.view_record import Geometry, read_described
from ..mrml.image import refresh
from ..mrml.manual_pose import ct_box
from ..mrml.registration import Registration
from ..mrml.xray import XRayView, on_image
from ..mrml.xray_record import Header, Values, XRayRecord
from ..translation import _


def set_camera(
    registration: Registration,
    view: XRayView,
    given: Geometry,
    *,
    size: tuple[int, int] | None = None,
    distortion: Distortion | None = None,
    origin: str = "entered",
) -> None:
    """Give a view a camera, or that of a matrix (3, 4), world LPS mm to pixels, at any scale and sign.

    Parameters
    ----------
    size
        (columns, rows) of the image that a matrix is for, where that is known.
    distortion
        Of the image as it was taken, which is undone.

    Raises
    ------
    InputError
        Where it is no camera's, is for another size, has what the image shows behind the source, or
        cannot be undistorted.
    """
    size = given.size if isinstance(given, Camera) else size
    if size is not None and tuple(size) != view.size:
        raise InputError(
            _(
                "{name}: the geometry is for an image of {size[0]} x {size[1]} pixels, but this "
                "one has {own[0]} x {own[1]}; give that of the image as it is stored."
            ),
            name=view.name,
            size=size,
            own=view.size,
        )
    record = replace(view.record, geometry=given, distortion=None)
    with naming(view.name):
        plain = record.camera(view.size)
    point = _point_shown(registration, view, plain)
    try:
        (camera,) = resolve_projection_signs([record], [view.size], point)
    except InputError:
        if point is None:  # a matrix whose sign nobody has settled
            raise
        sentence = BY_CAMERA if isinstance(given, Camera) else BY_MATRIX
        raise InputError(sentence, name=view.name) from None
    give_geometry(view, camera, distortion=distortion, origin=origin)


#: Why a camera, or a matrix, cannot be that of an X-ray.
BY_CAMERA = _(
    "{name}: by its camera, what the image shows lies behind the X-ray source; check the unit, the "
    "axes, and from which end the image is seen."
)
BY_MATRIX = _(
    "{name}: by its matrix, what the image shows lies behind the X-ray source; correct the matrix, "
    "or multiply it by -1 if the image is as seen from the detector."
)


def give_geometry(view: XRayView, geometry: Geometry, **fields: Any) -> None:
    """Give a view a new geometry and other fields, as `XRayView.change`.

    The image lies there, made again where it is undistorted.

    What was assumed of a header's geometry does not hold for one from elsewhere.
    """
    before = view.record
    if isinstance(geometry, Camera) or before.slot_scan:
        fields = {"assumptions": (), "world": None, **fields}
    if isinstance(geometry, CArm):
        fields = {**fields, "image_pixel_mm": geometry.pixel_mm}
    view.change(geometry=geometry, **fields)
    if before.lens is None and view.record.lens is None:
        view.place()
        return
    try:
        refresh(view)
    except InputError:
        view.record = before
        raise


def reading_of(view: XRayView) -> dict:
    """Return the angles and distances of a view's camera, or what its file's header proposes.

    Some or all keys of a case.json's c_arm.
    """
    record = view.record
    if isinstance(record.geometry, CArm):
        return record.geometry.to_json()
    known = {"pixel_mm": record.image_pixel_mm} if record.image_pixel_mm else {}
    if not (view.placed and known):
        return {**known, **record.c_arm_proposal}
    try:
        return CArm.from_camera(view.given_camera, record.image_pixel_mm).to_json()
    except InputError:  # a world whose origin is no isocentre
        return known


def matrix_of(view: XRayView) -> np.ndarray | None:
    """(3, 4), world LPS mm to pixels, the third row in mm of depth.

    None without a geometry, and for a slot scan.
    """
    camera = view.given_camera if view.placed else None
    return None if camera is None or camera.is_slot_scan else camera.projection_matrix


def describe(view: XRayView) -> str:
    """Return a view's geometry in a few words.

    "LAO 30, CRA 10 degrees", "matrix", or what is missing.
    """
    if view.size == (0, 0):
        return _("no image")
    if needs_geometry(view):
        return _("needs geometry")
    if not view.placed:
        return _("does not fit")
    geometry = view.record.geometry
    if isinstance(geometry, CArm):
        return f"{angle(geometry.rao_lao_deg, 'LAO', 'RAO')}, {angle(geometry.cra_cau_deg, 'CRA', 'CAU')}"
    return _("slot scan") if isinstance(geometry, SlotScan) else _("matrix")


def needs_geometry(view: XRayView) -> bool:
    """Return whether it is not known yet how an image was taken."""
    return view.size != (0, 0) and view.record.geometry is None


def reference_of(registration: Registration) -> XRayView | None:
    """Return the view that the geometry of the others is held against: the first that is used."""
    return next(iter(registration.used_xrays), None)


def certainty(view: XRayView) -> str:
    """Return the accuracy of a view's geometry, in a few words."""
    return describe_uncertainty(view.record.deviations)


def summary(registration: Registration, view: XRayView) -> str:
    """Return a view's geometry in a sentence, to compare with what the user knows of the room."""
    if not view.placed:
        return ""
    camera = view.camera
    sentences = []
    if not camera.is_slot_scan:  # the fields say it of a slot scan
        sentence = _("The source is {mm:.0f} mm from the world's origin.")
        sentences.append(sentence.format(mm=np.linalg.norm(camera.source)))
    box = ct_box(registration)
    if box is not None:
        sentences.append(
            _("The CT's centre is {mm:.0f} mm from the source.").format(mm=camera.depth(box.centre))
        )
        if not sees(camera, box.world_from_index, box.low, box.high):
            sentences.append(_("The CT is outside the image where it is now."))
    if view.record.lens is not None:
        sentences.append(_("The image is undistorted."))
    return " ".join(sentences)


def _point_shown(registration: Registration, view: XRayView, camera: Camera) -> np.ndarray | None:
    """Return a point, world LPS mm, that the image shows.

    The CT's centre where it falls on it, else where the views meet.

    None for neither.

    Whether it falls on the image does not depend on the matrix's sign.
    """
    box = ct_box(registration)
    if box is not None and on_image(camera.project(box.centre), view.size):
        return box.centre
    others = [other.camera for other in registration.xrays if other != view and other.placed]
    return meeting_point([*others, camera])


_HOW = _("enter by how much the isocentre is off, or give a matrix")


def with_c_arm_header(record: XRayRecord, path: Path, frames: int) -> XRayRecord:
    """Return the record with what the header of its file says of a C-arm.

    The same for a file that is not DICOM.

    Raises
    ------
    InputError
        For a header that is damaged.
    """
    read = [read_c_arm(path, frame) for frame in range(frames)]
    found = [header for header in read if header is not None]
    if not found:
        return record
    first, *_ = readings = [
        {key: value for key, value in one.values.items() if key != "size"} for one in found
    ]
    differing = tuple(
        {key: value for key, value in one.items() if value != first.get(key)} for one in readings
    )
    header = Header(
        "c_arm",
        first,
        tuple(found[0].missing),
        tuple(found[0].assumptions),
        differing if any(differing) else (),
        tuple(one.stand for one in found),
    )
    return replace(record, header=header, assumptions=header.assumptions)


def missing_in_header(view: XRayView) -> list[str]:
    """Return the names of what a view's DICOM header does not say of its geometry.

    None without a header.
    """
    header = view.record.header
    fields = TABLES.get(header.kind, {})
    return [_(fields[key].words) for key in fields if key in header.missing]


def header_proposals(registration: Registration, view: XRayView) -> list[str]:
    """Return the values that a view's DICOM header proposes, misses and leaves to assume, a sentence each; none without one."""
    record = view.record
    if record.header.kind != "c_arm":
        return []
    missing = ", ".join(missing_in_header(view))
    sentences = []
    if record.header.values:
        sentences.append(_("The header proposes what is filled in: check it."))
    if missing:
        sentences.append(_("Not in the header: {names}.").format(names=missing))
    assumptions = list(record.assumptions)
    other, world = _shared_world(registration, view)
    if other and world and record.stand and moved_mm(world, record.stand):
        assumptions.append(
            _(
                "{moved} What is applied here is carried after the patient, to where he lay for "
                "{name}."
            ).format(moved=TABLE_MOVED, name=other)
        )
    if assumptions:
        sentences.append(_("Assumed: {sentences}").format(sentences=" ".join(assumptions)))
    return sentences


def refuse_other_machine(eos: str, others: list[str]) -> None:
    """InputError for an EOS image beside X-rays, by their names, that their headers place by a C-arm."""
    if others:
        raise InputError(
            _(
                "{eos} is an EOS image and {other} is not, whose headers place them in different "
                "worlds, expected X-rays of one machine; leave one out, or give one its geometry "
                "in the world of the other."
            ),
            eos=eos,
            other=others[0],
        )


def use_reading(
    registration: Registration, view: XRayView, c_arm: CArm, origin: str = "entered"
) -> None:
    """Give a view a C-arm's reading, as its header proposes it or a person entered it.

    The views whose headers say so share the isocentre of one machine, where the patient lay for the
    first of them to get its geometry. A reading that is the view's first, and whose isocentre is
    taken as exact, is carried after him where the table has moved since. What is assumed for this
    is kept with the header's assumptions.

    Raises
    ------
    InputError
        For views of two machines or beside an EOS image, and where it is not known how the patient
        lay on a moved table.
    """
    record = view.record
    (other, world) = _shared_world(registration, view)
    kept = {}
    if record.stand is not None and record.world is None:
        assumptions = list(record.header.assumptions)
        given = any(c_arm.isocentre_offset_mm)
        for each in registration.xrays:
            if each.record.header.is_eos and not given:
                refuse_other_machine(each.name, [view.name])
        if other and world and not given:
            values = c_arm.to_json()
            assumptions += share_isocentre(
                view.name, (other, view.name), world, record.stand, values, _HOW
            )
            c_arm = read_described(JsonObject(view.name, "c_arm", values), CArm)
        kept = {"world": world or record.stand, "assumptions": tuple(assumptions)}
    give_geometry(view, c_arm, origin=origin, **kept)


def _shared_world(registration: Registration, view: XRayView) -> tuple[str, Stand | None]:
    """Return the name and the world of another X-ray whose geometry came from its header before."""
    others = (
        each for each in registration.xrays if each != view and each.placed and each.record.world
    )
    return next(((each.name, each.record.world) for each in others), ("", None))


#: The patient's sides, by the letters of `side_of_direction`.
SIDES = {
    "A": _("front"),
    "P": _("back"),
    "L": _("left"),
    "R": _("right"),
    "H": _("head"),
    "F": _("feet"),
}
#: What a header may lack and a person may know, each with the assumptions that go with the header's
#: own.
ASKED = {
    "source_to_isocentre_mm": (AT_PATIENT,),
    "isocentre_to_source": (FAR_SIDE, BY_TUBE_ANGLE, EOS_LATERAL),
    "central_column": (IN_IMAGE,),
}


def with_slot_scan_header(record: XRayRecord, path: Path) -> XRayRecord:
    """Return the record with what the header of a localizer or an EOS image says.

    Its slot scan where that is all of one.

    The same for another file.

    Raises
    ------
    InputError
        For a header that is damaged, or lacks what nobody could know who has not got it.
    """
    found = read_slot_scan(path)
    if found is None:
        return record
    if unknown := {key: why for key, why in found.missing.items() if key not in ASKED}:
        raise InputError(
            _(
                "{path}: is {kind} without {names} ({tags}), expected all that places it in the "
                "scanner; export it again, or give them as its slot_scan in a case.json."
            ),
            path=path.name,
            kind=_("an EOS image") if is_eos(read_dicom(path)) else _("a localizer"),
            names=", ".join(unknown),
            tags=", ".join(unknown.values()),
        )
    values = found.values
    gaps = tuple(found.missing)
    assumptions = tuple(found.assumptions)
    header = Header("slot_scan", values, gaps, assumptions, frame_of_reference=world_of(path))
    record = replace(
        record, header=header, assumptions=assumptions, image_pixel_mm=tuple(values["pixel_mm"])
    )
    if gaps:
        return record
    slot_scan = read_described(JsonObject(path.name, "slot_scan", dict(values)), SlotScan)
    return replace(record, geometry=slot_scan, origin=_("DICOM header"))


def refuse_other_frame(registration: Registration, name: str, record: XRayRecord) -> None:
    """Refuse a localizer that cannot lie in one world with the registration's X-rays.

    Raises
    ------
    InputError
        Where there is a localizer of another frame of reference than one with this record, an EOS
        image that cannot be of one scan with it, or, beside an EOS image, an X-ray that its header
        places by a C-arm.
    """
    if record.header.is_eos:
        refuse_other_machine(
            name, [other.name for other in registration.xrays if other.record.world is not None]
        )
    own = record.header
    for other in registration.xrays:
        if not own.kind == other.record.header.kind == "slot_scan":
            continue
        if other.record.header.frame_of_reference != own.frame_of_reference:
            raise InputError(
                _(
                    "{name}: is of another frame of reference (EOS image: of another study) than "
                    "{other}, which does not tell how they lie to each other, expected those of "
                    "one examination; choose another, or remove {other} first."
                ),
                name=name,
                other=other.name,
            )
        if own.is_eos and (why := mismatch(own.values, other.record.slot_scan)):
            raise InputError(
                _(
                    "{name} and {other}: are EOS images of which {why}, expected those of one "
                    "scan; choose another, or give their slot_scan in a case.json."
                ),
                name=name,
                other=other.name,
                why=why,
            )


def tube_sides(slot_scan: Values) -> dict[str, np.ndarray]:
    """Return the two directions to the tube, square to the image, by the patient's side (letters of `side_of_direction`)."""
    normal = rigid.unit(np.cross(slot_scan["columns_along"], slot_scan["rows_along"]))
    return {side_of_direction(way): way + 0.0 for way in (normal, -normal)}  # no -0


def side_in_words(letters: str) -> str:
    """Return "back", "left front", for letters of `side_of_direction`."""
    return " ".join(SIDES[letter] for letter in letters)


def nearest_side(slot_scan: Values, to_source: Sequence[float]) -> str:
    """Return the one of `tube_sides` on which a direction (3,) is."""
    sides = tube_sides(slot_scan)
    return max(sides, key=lambda letters: float(sides[letters] @ to_source))


def completed(
    view: XRayView, source_to_isocentre_mm: float, central_column: float | None, tube: str
) -> SlotScan:
    """Return a view's slot scan with this distance, central column and tube; its pixels stay in place.

    Parameters
    ----------
    central_column
        None for the middle one.
    tube
        One of `tube_sides`.

    Raises
    ------
    InputError
        If a value is invalid.
    """
    before = view.record.slot_scan
    after = {**before, "source_to_isocentre_mm": source_to_isocentre_mm}
    to_source = before.get("isocentre_to_source")
    if to_source is None or nearest_side(before, to_source) != tube:
        after["isocentre_to_source"] = tube_sides(before)[tube].tolist()
    middle = (view.size[0] - 1) / 2
    column = middle if central_column is None else central_column
    moved_px = column - before.get("central_column", middle)
    # The central ray of an EOS image meets the world's origin, whichever column has it.
    if moved_px and not view.record.header.is_eos:
        along = rigid.unit(np.array(before["columns_along"]))
        shift = moved_px * before["pixel_mm"][0] * along
        after["isocentre"] = (before["isocentre"] + shift).tolist()
    if central_column is None:
        after.pop("central_column", None)
    elif moved_px:
        after["central_column"] = central_column
    return read_described(JsonObject(view.name, "slot_scan", after), SlotScan)


def use_slot_scan(view: XRayView, slot_scan: SlotScan) -> None:
    """Give an X-ray its slot scan, of `completed`.

    What was assumed for a value that is another now is assumed no more.
    """
    record = view.record
    after = slot_scan.to_json()
    said = record.header
    if not said.kind:
        said = Header("", record.slot_scan, assumptions=record.assumptions)
    changed = [key for key in ASKED if after.get(key) != said.values.get(key)]
    settled = set(chain(*map(ASKED.__getitem__, changed)))
    assumed = tuple(sentence for sentence in said.assumptions if sentence not in settled)
    entered = {"origin": _("entered")} if changed else {}
    give_geometry(view, slot_scan, assumptions=assumed, **entered)


def describe_slot_scan(slot_scan: Values) -> list[str]:
    """Describe which way the pixels of a slot scan run and how large they are, a sentence each."""
    width, height = slot_scan["pixel_mm"]
    columns, rows = (
        side_in_words(side_of_direction(slot_scan[key])) for key in ("columns_along", "rows_along")
    )
    run = _("Columns run to the patient's {columns}, rows to the patient's {rows}.")
    size = _("Pixels: {width:.3f} mm wide at the isocentre, {height:.3f} mm high.")
    return [run.format(columns=columns, rows=rows), size.format(width=width, height=height)]
