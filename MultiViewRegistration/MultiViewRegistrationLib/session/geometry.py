"""The geometry of an X-ray: from its DICOM header, C-arm angles and distances, or a matrix; described in words."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..geometry.c_arm import CArm
from ..geometry.camera import Camera
from ..geometry.distortion import Distortion
from ..io.cameras import (
    Geometry,
    camera_uncertainty,
    describe_uncertainty,
    meeting_point,
    read_geometry,
    sees,
    settle,
)
from ..io.dicom_geometry import EOS_WORLD, TABLE_MOVED, HeaderGeometry, moved_mm, read_header, share_isocentre
from ..io.files import JsonObject
from ..mrml.image import refresh
from ..mrml.loading import camera_content
from ..mrml.manual_pose import ct_box
from ..mrml.registration import Registration
from ..mrml.xray import XRayView, is_bent, on_image
from .translation import _

#: The readings of a C-arm that a registration needs, as a person knows them.
READINGS = {
    "rao_lao_deg": _("LAO/RAO angle"),
    "cra_cau_deg": _("CRA/CAU angle"),
    "source_to_detector_mm": _("source to detector"),
    "source_to_isocentre_mm": _("source to isocentre"),
    "pixel_mm": _("pixel size"),
    "mirrored": _("whether the patient's right is on the left of the image"),
}
ANGLES = ("rao_lao_deg", "cra_cau_deg")
DEG = "\u00b0"


def set_c_arm(view: XRayView, reading: dict, origin: str = "entered") -> None:
    """Give a view a C-arm's angles and distances: a case.json's c_arm, whose size may be left out. InputError if they are invalid."""
    reading = {**reading, "size": list(view.size)}
    read_geometry(JsonObject(view.name, "", {"c_arm": reading}))
    give_geometry(view, c_arm=reading, pixel_mm=list(reading["pixel_mm"]), **{"from": origin})


def check_reading(reading: dict) -> None:
    """InputError for missing or inconsistent angles and distances of a C-arm.

    An angle is None where it was not given, as is "mirrored"; a distance 0.
    """
    detector, isocentre = reading["source_to_detector_mm"], reading["source_to_isocentre_mm"]
    if 0 < detector <= isocentre:
        raise InputError(
            _(
                "Source to isocentre: {isocentre:g} mm, expected less than source to detector, {detector:g} mm; correct one "
                "of them."
            ).format(isocentre=isocentre, detector=detector)
        )
    given = {key: reading[key] is not None for key in ANGLES}
    given |= {"source_to_detector_mm": detector > 0, "source_to_isocentre_mm": isocentre > 0}
    given["pixel_mm"] = min(reading["pixel_mm"]) > 0
    if missing := next((READINGS[key] for key, there in given.items() if not there), ""):
        raise InputError(
            _("{reading}: none is given, expected that of the C-arm; enter it.").format(
                reading=missing[0].upper() + missing[1:]
            )
        )
    if reading["mirrored"] is None:
        raise InputError(_("Left and right: not known; say whether the patient's right is on the left of the image."))


def set_matrix(
    registration: Registration, view: XRayView, projection_matrix, size=None, origin: str = "entered"
) -> None:
    """Give a view the camera of a matrix (3, 4), world LPS mm to pixels, at any scale and sign.

    InputError where it is no camera's, is for another size, or has what the image shows behind the source.

    Parameters
    ----------
    size
        (columns, rows) of the image it is for, where that is known.
    """
    _check_size(view, size)
    geometry = read_geometry(
        JsonObject(view.name, "", {"projection_matrix": np.asarray(projection_matrix, float).tolist()})
    )
    point = _point_shown(registration, view, geometry)
    try:
        (camera,) = settle([geometry], [view.size], point)
    except InputError:
        if point is None:
            raise InputError(
                _(
                    "{name}: the matrix has a negative determinant, and is either that of an image as seen from the detector or "
                    "has the wrong sign, expected a way to tell; move the CT to where this X-ray shows it, or multiply the "
                    "matrix by -1 if the image is as seen from the source."
                ).format(name=view.name)
            ) from None
        raise InputError(
            _(
                "{name}: by its matrix, what the image shows lies behind the X-ray source; correct the matrix, or multiply "
                "that of an image as seen from the detector by -1."
            ).format(name=view.name)
        ) from None
    give_geometry(view, camera=camera_content(camera), **{"from": origin})


def set_camera(
    registration: Registration,
    view: XRayView,
    camera: Camera,
    distortion: Distortion | None = None,
    origin: str = "entered",
) -> None:
    """Give a view a camera, and the distortion of its image as it was taken, which is undone.

    InputError where it is for another size, has what the image shows behind the source, or cannot be undistorted.
    """
    _check_size(view, camera.size)
    geometry = Geometry(view.name, camera=camera)
    point = _point_shown(registration, view, geometry)
    if point is not None and camera.depth(point) <= 0:
        raise InputError(
            _(
                "{name}: by its camera, what the image shows lies behind the X-ray source; check the unit and the axes, or "
                "choose another camera."
            ).format(name=view.name)
        )
    bent = {} if distortion is None else {"distortion": distortion.coefficients.tolist()}
    give_geometry(view, camera=camera_content(camera), **bent, **{"from": origin})


def _check_size(view: XRayView, size) -> None:
    if size is not None and tuple(size) != view.size:
        raise InputError(
            _(
                "{name}: the geometry is for an image of {size[0]} x {size[1]} pixels, but this one has {own[0]} x "
                "{own[1]}; give that of the image as it is stored."
            ).format(name=view.name, size=size, own=view.size)
        )


def give_geometry(view: XRayView, **content) -> None:
    """Give a view a new geometry, as `XRayView.change`; the image lies there, made again where its distortion was undone or is to be.

    What was assumed of a header's geometry does not hold for one from elsewhere.
    """
    before = view.content
    if "camera" in content or "localizer" in before:
        view.content = {key: value for key, value in before.items() if key not in ("assumptions", "world")}
    view.change(**content)
    if not is_bent(before) and not is_bent(content):
        view.place()
        return
    try:
        refresh(view)
    except InputError:
        view.content = before
        raise


def reading_of(view: XRayView) -> dict:
    """Return the angles and distances of a view's camera, or what its file's header proposes: some or all keys of a case.json's c_arm."""
    content = view.content
    if "c_arm" in content:
        return content["c_arm"]
    pixel_mm = content.get("pixel_mm")
    if view.placed and pixel_mm:
        try:
            reading = asdict(CArm.from_camera(view.geometry.plain_camera(view.size), pixel_mm))
        except InputError:  # a world whose origin is no isocentre
            return {"pixel_mm": pixel_mm}
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in reading.items() if key != "size"
        }
    of_frames, frame = content.get("header_of_frames", []), content.get("frame") or 0
    return {
        **({"pixel_mm": pixel_mm} if pixel_mm else {}),
        **content.get("header", {}),
        **(of_frames[frame] if of_frames else {}),
    }


def matrix_of(view: XRayView) -> np.ndarray | None:
    """(3, 4), world LPS mm to pixels, the third row in mm of depth; None without a geometry, and for a slot scan."""
    camera = view.geometry.plain_camera(view.size) if view.placed else None
    return None if camera is None or camera.fan_axes == 1 else camera.projection_matrix


def describe(view: XRayView) -> str:
    """Return a view's geometry in a few words: "LAO 30, CRA 10 degrees", "matrix", or what is missing."""
    if view.size == (0, 0):
        return _("no image")
    if needs_geometry(view):
        return _("needs geometry")
    if not view.placed:
        return _("does not fit")
    if "slot_scan" in view.content:
        return _("slot scan")
    c_arm = view.content.get("c_arm")
    if c_arm is None:
        return _("matrix")
    return f"{angle(c_arm['rao_lao_deg'], 'LAO', 'RAO')}, {angle(c_arm['cra_cau_deg'], 'CRA', 'CAU')}"


def needs_geometry(view: XRayView) -> bool:
    """Return whether it is not known yet how an image was taken."""
    return view.size != (0, 0) and not view.placed and not {"c_arm", "camera", "slot_scan"} & view.content.keys()


def angle(degrees: float, positive: str, negative: str) -> str:
    """Return "LAO 30 degrees" for 30, "RAO 30 degrees" for -30, with the sign for degrees."""
    return f"{positive if degrees >= 0 else negative} {round(abs(degrees), 1):g}{DEG}"


def reference_of(registration: Registration) -> XRayView | None:
    """Return the view that the geometry of the others is held against: the first that is used."""
    return next(iter(registration.used_xrays), None)


def certainty(view: XRayView) -> str:
    """Return the accuracy of a view's geometry, in a few words."""
    return describe_uncertainty(camera_uncertainty(view.content))


def summary(registration: Registration, view: XRayView) -> str:
    """Return a view's geometry in a sentence, to compare with what the user knows of the room."""
    if not view.placed:
        return ""
    camera = view.camera
    sentences = []
    if camera.fan_axes == 2:  # the fields say it of a slot scan
        sentence = _("The source is {mm:.0f} mm from the world's origin.")
        sentences.append(sentence.format(mm=np.linalg.norm(camera.source)))
    box = ct_box(registration)
    if box is not None:
        sentences.append(_("The CT's centre is {mm:.0f} mm from the source.").format(mm=camera.depth(box.centre)))
        if not sees(camera, box.world_from_index, box.low, box.high):
            sentences.append(_("The CT is outside the image where it is now."))
    if is_bent(view.content):
        sentences.append(_("The image is undistorted."))
    return " ".join(sentences)


def _point_shown(registration: Registration, view: XRayView, geometry: Geometry) -> np.ndarray | None:
    """Return a point, world LPS mm, that the image shows: the CT's centre where it falls on it, else where the views meet.

    None for neither.

    Whether it falls on the image does not depend on the matrix's sign.
    """
    camera = geometry.plain_camera(view.size)
    box = ct_box(registration)
    if box is not None and on_image(camera.project(box.centre), view.size):
        return box.centre
    others = [other.camera for other in registration.xrays if other != view and other.placed]
    return meeting_point([*others, camera])


_HOW = _("enter by how much the isocentre is off, or give a matrix")


def header_content(path: Path, frames: int) -> dict:
    """Return the header values that an `XRayView` keeps; nothing for a file that is not DICOM.

    InputError for a header that is damaged.
    """
    read = [read_header(path, frame) for frame in range(frames)]
    found = [header for header in read if header is not None]
    if not found:
        return {}
    first, *_ = readings = [{key: value for key, value in one.values.items() if key != "size"} for one in found]
    differing = [{key: value for key, value in reading.items() if value != first.get(key)} for reading in readings]
    return {
        "header": first,
        **({"header_of_frames": differing} if any(differing) else {}),
        "header_missing": list(found[0].missing),
        "assumptions": found[0].assumptions,
        "stands": [_content(one) for one in found],
    }


def missing_readings(view: XRayView) -> list[str]:
    """Return the names of a C-arm's readings that a view's DICOM header does not have; none without a header."""
    return [name for key, name in READINGS.items() if key in view.content.get("header_missing", ())]


def header_proposals(registration: Registration, view: XRayView) -> list[str]:
    """Return the values that a view's DICOM header proposes, misses and leaves to assume, a sentence each; none without one."""
    content = view.content
    if "header" not in content:
        return []
    missing = ", ".join(missing_readings(view))
    sentences = [_("The header proposes what is filled in: check it.")] if content["header"] else []
    sentences += [_("Not in the header: {names}.").format(names=missing)] if missing else []
    assumptions = list(content["assumptions"])
    stand, other = _stand_of(view), _of_same_world(registration, view)
    if other is not None and stand is not None and moved_mm(_world_of(other), stand):
        assumptions.append(
            _("{moved} What is applied here is carried after the patient, to where he lay for {name}.").format(
                moved=TABLE_MOVED, name=other.name
            )
        )
    return sentences + ([_("Assumed: {sentences}").format(sentences=" ".join(assumptions))] if assumptions else [])


def is_eos_content(content: dict) -> bool:
    """Return whether what a view keeps is that of an EOS image, placed by its header."""
    return EOS_WORLD in content.get("localizer", {}).get("assumptions", ())


def refuse_other_machine(eos: str, others: list[str]) -> None:
    """InputError for an EOS image beside X-rays, by their names, that their headers place by a C-arm."""
    if others:
        raise InputError(
            _(
                "{eos} is an EOS image and {other} is not, whose headers place them in different worlds, expected X-rays of one machine; "
                "leave one out, or give one its geometry in the world of the other."
            ).format(eos=eos, other=others[0])
        )


def use_reading(registration: Registration, view: XRayView, reading: dict, origin: str = "entered") -> None:
    """Give a view a C-arm's reading, as its header proposes it or a person entered it.

    The views whose headers say so share the isocentre of one machine, where the patient lay for the first of them to get its geometry. A
    reading that is the view's first, and whose isocentre is taken as exact, is carried after him where the table has moved since. What
    is assumed for this is kept with the header's assumptions.

    InputError for an invalid reading, for views of two machines or beside an EOS image, and where it is not known how the patient lay on a
    moved table.
    """
    check_reading(reading)
    reading, stand, other = dict(reading), _stand_of(view), _of_same_world(registration, view)
    kept = {}
    if stand is not None and "world" not in view.content:
        assumptions = list(view.content["assumptions"])
        given = any(reading.get("isocentre_offset_mm", ()))
        for eos in [each.name for each in registration.xrays if is_eos_content(each.content) and not given]:
            refuse_other_machine(eos, [view.name])
        if other is not None and not given:
            assumptions += share_isocentre(view.name, (other.name, view.name), _world_of(other), stand, reading, _HOW)
            check_reading(reading)
        world = view.content["stands"][view.content.get("frame") or 0] if other is None else other.content["world"]
        kept = {"world": world, "assumptions": assumptions}
    set_c_arm(view, reading, origin)
    view.change(**kept)


def _of_same_world(registration: Registration, view: XRayView) -> XRayView | None:
    """Another X-ray whose geometry came from its header before."""
    return next(
        (other for other in registration.xrays if other != view and other.placed and "world" in other.content), None
    )


def _content(found: HeaderGeometry) -> dict:
    """Return how patient and table lay to the machine, for a scene; of the machine's number no more than is needed to compare it."""
    lies = found.patient_from_isocentre
    return {
        "machine": hashlib.sha256(found.machine.encode()).hexdigest() if found.machine else "",
        "table": found.table and [found.table[0], found.table[1].tolist()],
        "patient": None if lies is None else lies.tolist(),
    }


def _stand_of(view: XRayView) -> HeaderGeometry | None:
    content = view.content
    return _found(content["stands"][content.get("frame") or 0]) if "stands" in content else None


def _world_of(view: XRayView) -> HeaderGeometry:
    return _found(view.content["world"])


def _found(content: dict) -> HeaderGeometry:
    table, lies = content["table"], content["patient"]
    return HeaderGeometry(
        machine=content["machine"],
        table=table and (table[0], np.array(table[1])),
        patient_from_isocentre=None if lies is None else np.array(lies),
    )
