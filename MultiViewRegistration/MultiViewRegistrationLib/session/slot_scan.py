"""The slot scan of an X-ray (a CT scout, an EOS image).

From its DICOM header, completed by a person, described in words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry.slot_scan import SlotScan
from ..imaging.dicom_file import read_dicom
from ..io.dicom_geometry import AT_PATIENT, BY_TUBE_ANGLE, EOS_LATERAL, FAR_SIDE, IN_IMAGE
from ..io.eos import is_eos, mismatch
from ..io.files import JsonObject
from ..io.localizer import read_slot_scan, world_of
from ..io.view_record import read_described
from ..mrml.registration import Registration
from ..mrml.xray import XRayView
from ..mrml.xray_annotations import side_of_direction
from ..mrml.xray_record import Header, XRayRecord
from .geometry import give_geometry, refuse_other_machine
from .translation import _

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
            ).format(
                path=path.name,
                kind=_("an EOS image") if is_eos(read_dicom(path)) else _("a localizer"),
                names=", ".join(unknown),
                tags=", ".join(unknown.values()),
            )
        )
    values, gaps, assumptions = found.values, tuple(found.missing), tuple(found.assumptions)
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
    for other in [
        each for each in registration.xrays if own.kind == each.record.header.kind == "slot_scan"
    ]:
        if other.record.header.frame_of_reference != own.frame_of_reference:
            raise InputError(
                _(
                    "{name}: is of another frame of reference (EOS image: of another study) than "
                    "{other}, which does not tell how they lie to each other, expected those of "
                    "one examination; choose another, or remove {other} first."
                ).format(name=name, other=other.name)
            )
        if own.is_eos and (why := mismatch(own.values, other.record.slot_scan)):
            raise InputError(
                _(
                    "{name} and {other}: are EOS images of which {why}, expected those of one "
                    "scan; choose another, or give their slot_scan in a case.json."
                ).format(name=name, other=other.name, why=why)
            )


def column_is_asked(view: XRayView) -> bool:
    """Return whether an X-ray's central column has to be given, as its header shows that it may not be the middle one."""
    return "central_column" in view.record.header.missing


def tube_sides(slot_scan: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the two directions to the tube, square to the image, by the patient's side (letters of `side_of_direction`)."""
    normal = np.cross(slot_scan["columns_along"], slot_scan["rows_along"])
    normal /= np.linalg.norm(normal)
    return {side_of_direction(way): way + 0.0 for way in (normal, -normal)}  # no -0


def side_in_words(letters: str) -> str:
    """Return "back", "left front", for letters of `side_of_direction`."""
    return " ".join(SIDES[letter] for letter in letters)


def nearest_side(slot_scan: Mapping[str, Any], to_source) -> str:
    """Return the one of `tube_sides` on which a direction (3,) is."""
    sides = tube_sides(slot_scan)
    return max(sides, key=lambda letters: float(sides[letters] @ to_source))


def completed(
    view: XRayView, source_to_isocentre_mm: float | None, central_column: float | None, tube: str
) -> SlotScan:
    """Return a view's slot scan with this distance, central column and tube.

    Where the pixels lie stays.

    Parameters
    ----------
    central_column
        None for the middle one.
    tube
        One of `tube_sides`.

    Raises
    ------
    InputError
        For what is missing or invalid.
    """
    before = view.record.slot_scan
    if not source_to_isocentre_mm:
        raise InputError(
            _("Source to isocentre: none is given, expected that of the scanner; enter it.")
        )
    if tube not in tube_sides(before):
        raise InputError(
            _(
                "Tube: nothing is chosen, and near and far in the patient depend on it; choose the "
                "side that it was on."
            )
        )
    if central_column is None and column_is_asked(view):
        raise InputError(
            _(
                "Central column: none is given, and the image may be cropped, expected that of the "
                "ray at right angles to the scan plane; enter it, {middle:g} if it is the middle "
                "one."
            ).format(middle=(view.size[0] - 1) / 2)
        )
    after = {**before, "source_to_isocentre_mm": source_to_isocentre_mm}
    to_source = before.get("isocentre_to_source")
    if to_source is None or nearest_side(before, to_source) != tube:
        after["isocentre_to_source"] = tube_sides(before)[tube].tolist()
    middle = (view.size[0] - 1) / 2
    column, moved = (
        before.get("central_column", middle),
        middle if central_column is None else central_column,
    )
    if moved != column:
        along = np.array(before["columns_along"]) / np.linalg.norm(before["columns_along"])
        shift = (moved - column) * before["pixel_mm"][0] * along
        after["central_column"] = moved
        if (
            not view.record.header.is_eos
        ):  # whose central ray goes through the world's origin, whichever column has it
            after["isocentre"] = (before["isocentre"] + shift).tolist()
    if central_column is None:
        after.pop("central_column", None)
    return read_described(JsonObject(view.name, "slot_scan", after), SlotScan)


def use_slot_scan(view: XRayView, slot_scan: SlotScan) -> None:
    """Give an X-ray its slot scan, of `completed`.

    What was assumed for a value that is another now is assumed no more.
    """
    record, after = view.record, slot_scan.to_json()
    said = (
        record.header
        if record.header.kind
        else Header("", record.slot_scan, assumptions=record.assumptions)
    )
    changed = [key for key in ASKED if after.get(key) != said.values.get(key)]
    settled = [sentence for key in changed for sentence in ASKED[key]]
    assumed = tuple(sentence for sentence in said.assumptions if sentence not in settled)
    give_geometry(
        view, slot_scan, assumptions=assumed, **({"origin": _("entered")} if changed else {})
    )


def describe_slot_scan(slot_scan: Mapping[str, Any]) -> list[str]:
    """Describe which way the pixels of a slot scan run and how large they are, a sentence each."""
    width, height = slot_scan["pixel_mm"]
    columns, rows = (
        side_in_words(side_of_direction(slot_scan[key])) for key in ("columns_along", "rows_along")
    )
    return [
        _("Columns run to the patient's {columns}, rows to the patient's {rows}.").format(
            columns=columns, rows=rows
        ),
        _("Pixels: {width:.3f} mm wide at the isocentre, {height:.3f} mm high.").format(
            width=width, height=height
        ),
    ]
