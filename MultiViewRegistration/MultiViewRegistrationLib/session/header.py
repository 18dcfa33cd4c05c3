"""How an X-ray was taken by its DICOM header: a proposal for a C-arm's reading, and how it shares an isocentre with the others."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from ..io.dicom_geometry import TABLE_MOVED, Found, read_header
from ..io.dicom_views import moved_mm, share_isocentre
from ..mrml.registration import Registration
from ..mrml.xray import XRayView
from .geometry import READINGS, check_reading, set_c_arm

_HOW = "enter by how much the isocentre is off, or give a matrix"


def header_content(path: Path, frames: int) -> dict:
    """What an `XRayView` keeps of its file's header; nothing for what is no DICOM.

    InputError for a header that is damaged.
    """
    found = [read_header(path, frame) for frame in range(frames)]
    if found[0] is None:
        return {}
    first, *_ = readings = [{key: value for key, value in one.values.items() if key != "size"} for one in found]
    differing = [{key: value for key, value in reading.items() if value != first.get(key)} for reading in readings]
    return {
        "header": first,
        **({"header_of_frames": differing} if any(differing) else {}),
        "header_lacks": list(found[0].lacking),
        "assumptions": found[0].assumptions,
        "stands": [_content(one) for one in found],
    }


def proposed(registration: Registration, view: XRayView) -> list[str]:
    """What the DICOM header of a view proposes for a C-arm, lacks, and leaves to be assumed, a sentence each; none without a header."""
    content = view.content
    if "header" not in content:
        return []
    lacking = ", ".join(name for key, name in READINGS.items() if key in content["header_lacks"])
    told = ["The header proposes what is filled in: check it."] if content["header"] else []
    told += [f"The header lacks: {lacking}."] if lacking else []
    assumptions = list(content["assumptions"])
    if (other := _of_same_world(registration, view)) and moved_mm(_world_of(other), _stand_of(view)):
        assumptions.append(
            f"{TABLE_MOVED} What is applied here is carried after the patient, to where he lay for {other.name}."
        )
    return told + ([f"Assumed: {' '.join(assumptions)}"] if assumptions else [])


def use_reading(registration: Registration, view: XRayView, reading: dict, origin: str = "entered") -> None:
    """Give a view a C-arm's reading, as its header proposes it or a person entered it.

    The views whose headers say so share the isocentre of one machine, where the patient lay for the first of them to get its geometry. A
    reading that is the view's first, and whose isocentre is not said to be off, is carried after him where the table has moved since. What
    is assumed for this is kept with the header's assumptions.

    InputError for what is wrong in the reading, for views of two machines, and where nobody says how the patient lay on a moved table.
    """
    check_reading(reading)
    reading, stand, other = dict(reading), _stand_of(view), _of_same_world(registration, view)
    kept = {}
    if stand is not None and "world" not in view.content:
        assumptions = list(view.content["assumptions"])
        if other is not None and not any(reading.get("isocentre_offset_mm", ())):
            assumptions += share_isocentre(view.name, (other.name, view.name), _world_of(other), stand, reading, _HOW)
            check_reading(reading)
        kept = {"world": _content(stand if other is None else _world_of(other)), "assumptions": assumptions}
    set_c_arm(view, reading, origin)
    view.change(**kept)


def _of_same_world(registration: Registration, view: XRayView) -> XRayView | None:
    """Another X-ray whose geometry came from its header before."""
    return next(
        (other for other in registration.xrays if other != view and other.placed and "world" in other.content), None
    )


def _content(found: Found) -> dict:
    """How patient and table lay to the machine, for a scene; of the machine's number no more than is needed to compare it."""
    lies = found.patient_from_isocentre
    return {
        "machine": hashlib.sha256(found.machine.encode()).hexdigest() if found.machine else "",
        "table": found.table and [found.table[0], found.table[1].tolist()],
        "patient": None if lies is None else lies.tolist(),
    }


def _stand_of(view: XRayView) -> Found | None:
    content = view.content
    return _found(content["stands"][content.get("frame") or 0]) if "stands" in content else None


def _world_of(view: XRayView) -> Found:
    return _found(view.content["world"])


def _found(content: dict) -> Found:
    table, lies = content["table"], content["patient"]
    return Found(
        machine=content["machine"],
        table=table and (table[0], np.array(table[1])),
        patient_from_isocentre=None if lies is None else np.array(lies),
    )
