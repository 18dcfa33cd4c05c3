"""X-rays into a registration: from a volume in the scene, from files, from a case.json."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from ..errors import InputError
from ..imaging.view import SharedUnknowns
from ..imaging.xray import RawImage, load_frames, recognised
from ..io.case import Case
from ..io.case_file import CaseFile
from ..io.xa_header import read_header
from .case import frame_of, set_shared_unknowns, shared_unknowns_of
from .image import set_source
from .loading import add_entry, name_of, read_views, source_node
from .naming import clean_name
from .registration import MOST_VIEWS, Registration
from .xray import ATTRIBUTE, XRayView


def add_volume(registration: Registration, volume) -> XRayView:
    """A view of a volume node, which stays as it is: an image, a run of frames, the volume that a sequence shows now.

    The X-ray of a registration, of this or another one, gives a view with the same image and geometry.

    InputError where it is no X-ray; nothing is left of the view then.
    """
    if volume is registration.ct:
        raise InputError(f"{volume.GetName()}: is the CT of this registration, expected an X-ray; choose another volume.")
    copied = XRayView(volume) if volume.GetAttribute(ATTRIBUTE) else None
    with _new_view(registration, volume.GetName()) as view:
        if copied is not None:
            view.change(**copied.content)
            set_source(view, copied.source or volume)
            return view
        spacing = volume.GetSpacing()[:2]
        view.change(pixel_mm=None if spacing == (1.0, 1.0) else list(spacing))
        try:
            view.change(**_grey_values(frame_of(volume, view.content)))
        except InputError as error:
            raise InputError(f"{volume.GetName()}: {error}") from None
        set_source(view, volume)
    return view


def add_file(registration: Registration, path: str | os.PathLike) -> XRayView:
    """A view of the X-ray in a file: DICOM, PNG, TIFF, MHA, NRRD, ...; all frames of a run are kept, and the first is shown.

    What a DICOM header says of the geometry is kept as a proposal ("header"), not as the geometry.

    InputError where it cannot be read or is no X-ray; nothing is left of the view then.
    """
    path = Path(path)
    frames = load_frames(path)
    with _new_view(registration, name_of(path)) as view:
        header = read_header(path)
        pixel_mm = header.get("pixel_mm") or frames[0].pixel_mm
        view.change(**_grey_values(frames[0]), pixel_mm=pixel_mm and list(pixel_mm), header=header)
        set_source(view, source_node(view, name_of(path), frames))
    return view


def add_case(registration: Registration, path: str | os.PathLike) -> list[XRayView]:
    """The views of a case.json, with geometry, certainty and masks; what is uncertain in all of them counts here from now on, too.

    The case's own CT, pose and landmarks are left aside. InputError for what is wrong in it, and where its views are too many.
    """
    case = Case.load(path)
    if len(registration.xrays) + len(case.views) > MOST_VIEWS:
        raise InputError(f"{path}: has {len(case.views)} views, but beside the {len(registration.xrays)} that are there only "
                         f"{MOST_VIEWS} can be shown; remove some first.")
    views = [add_entry(registration, entry) for entry in read_views(case, path)]
    known = {key: value for key, value in asdict(shared_unknowns_of(registration)).items() if value is not None}
    set_shared_unknowns(registration, SharedUnknowns(**{**asdict(case.shared_unknowns), **known}))
    return views


def is_case(path: str | os.PathLike) -> bool:
    """Whether a path is that of a case, by its name alone."""
    return Path(path).suffix.lower() == ".json"


@contextmanager
def _new_view(registration: Registration, name: str) -> Iterator[XRayView]:
    """A further view, which is gone again where anything goes wrong with it."""
    view = registration.add_xray(clean_name(name))
    try:
        yield view
    except Exception:
        registration.remove_xray(view)
        raise


def _grey_values(raw: RawImage) -> dict:
    """What the values of an image are, as far as it tells."""
    try:
        intensity, inverted = recognised(raw)
    except InputError:
        intensity, inverted = "linear", False
    return {"intensity": intensity, "inverted": inverted}
