"""X-rays whose geometry the headers of their DICOM images say, all of it or what a case leaves out."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from ..errors import InputError
from ..geometry.fields import TABLES
from ..imaging.dicom_file import read_dicom
from . import dicom_geometry, localizer
from .dicom_geometry import HeaderGeometry
from .eos import is_eos
from .files import describe
from .rt_image import read_rt_image
from .view_record import Readings, ViewRecord


def by_header(view: ViewRecord) -> ViewRecord:
    """Return the record, with readings of no values yet where nothing is said of its geometry.

    They are of a slot scan if its image is one, else of a C-arm.
    """
    if view.geometry is not None:
        return view
    file = read_dicom(view.image_path)
    return replace(
        view,
        geometry=Readings("slot_scan" if file and localizer.is_slot_scan(file) else "c_arm", {}),
    )


def header_of(view: ViewRecord) -> HeaderGeometry | None:
    """Return what the header of its image says of a record with `Readings`, which hold where they are given; None for another image.

    Raises
    ------
    InputError
        For a header that is damaged.
    """
    if view.kind == "slot_scan":
        return localizer.read_slot_scan(view.image_path, view.readings)
    return read_c_arm(view.image_path, view.frame, view.readings)


def read_c_arm(
    path: str | os.PathLike, frame: int | None = None, given: dict[str, Any] | None = None
) -> HeaderGeometry | None:
    """Return what the header of an X-ray of a C-arm, or of an RT Image, says; None for another image.

    Parameters and errors as of `dicom_geometry.read_header`.
    """
    file = read_dicom(path)
    found = file and read_rt_image(file, frame, given)
    return found or dicom_geometry.read_header(path, frame, given)


def missing_readings(view: ViewRecord) -> dict[str, str]:
    """Return the readings that are not known, each with the DICOM attributes that would say it, "" for another image."""
    if not view.has_gaps:
        return {}
    if header := header_of(view):
        return header.missing
    asked = [key for key, field in TABLES[view.kind].items() if field.asked]
    return {key: "" for key in asked if key not in view.readings}


def complete_by_headers(file: str, views: list[ViewRecord]) -> list[ViewRecord]:
    """Return the records, complete by the headers of their images.

    Parameters
    ----------
    file
        What messages begin with.

    Raises
    ------
    InputError
        For what is missing in the headers too, and X-rays that do not share a world.
    """
    views = [by_header(view) for view in views]
    scans, c_arms = (
        [view for view in views if view.kind == kind and view.has_gaps] for kind in EXPECTED
    )
    found_scans, found_c_arms = (
        [header_of(view) or HeaderGeometry() for view in each] for each in (scans, c_arms)
    )
    _refuse_gaps(file, scans, found_scans)
    localizer.check_worlds(file, scans, found_scans)
    eos = next((view for view in scans if is_eos(read_dicom(view.image_path))), None)
    if eos and c_arms:
        other = c_arms[0]
        raise InputError(
            f"{file}: {eos.field} ({describe(eos.name)}) is an EOS image and {other.field} "
            f"({describe(other.name)}) is not, whose headers place them in different worlds, "
            "expected X-rays of one machine; leave one out, or give one its geometry in the world "
            "of the other."
        )
    _refuse_gaps(file, c_arms, found_c_arms)
    dicom_geometry.share_isocentres(file, c_arms, found_c_arms)
    found = dict(zip(map(id, (*scans, *c_arms)), (*found_scans, *found_c_arms)))
    for n, view in enumerate(views):
        if header := found.get(id(view)):
            views[n] = view.completed(file, header.values, header.assumptions)
    return views


#: By the kind of geometry: what a header is expected to say, and how else it is given.
EXPECTED = {
    "slot_scan": ("the geometry of a slot scan", localizer.HOW_TO_ADD),
    "c_arm": ("all readings of a C-arm", dicom_geometry.HOW_TO_ADD),
}


def _refuse_gaps(file: str, views: list[ViewRecord], found: list[HeaderGeometry]) -> None:
    gaps = []
    for view, header in zip(views, found):
        if header.missing:
            missing = ", ".join(f"{key} ({why})" for key, why in header.missing.items())
            gaps.append(f"{view.field} ({describe(view.name)}) is missing {missing}")
    if gaps:
        expected, how = EXPECTED[views[0].kind]
        raise InputError(
            f"{file}: {'; '.join(gaps)} in its DICOM header, expected {expected}; {how}."
        )
