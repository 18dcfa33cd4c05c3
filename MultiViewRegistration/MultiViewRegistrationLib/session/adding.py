"""X-rays into a registration: from a volume in the scene, files, a case.json, the scouts of a CT.

Their names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..geometry.machines import CArm
from ..imaging.body import MAX_NAME_LENGTH, NOT_IN_FILE_NAMES
from ..imaging.reading import undistorted_mask
from ..imaging.xray import (
    RawImage,
    SharedUnknowns,
    XRay,
    load_frames,
    load_image,
    to_line_integrals,
)
from ..io.case import Case
from ..io.case_file import CaseFile
from ..io.dicom_identity import frame_of_reference, image_origin, read_identity
from ..io.files import JsonObject, upload_root
from ..io.localizer import Study, find_study
from ..io.view_record import read_described, taken_by_header, view_name
from ..known import without_none
from ..mrml import nodes
from ..mrml.case import any_voxels, change_settings, frame_of, raw_of, settings_of
from ..mrml.identity import Identity, copy_identity, file_of, remember_identity
from ..mrml.image import add_mask, greys, refresh, segmentation_node, set_mask, set_source, stored
from ..mrml.loading import SHUTTER, AddView, read_views, source_node
from ..mrml.nodes import OWNER
from ..mrml.registration import MAX_VIEWS, Registration
from ..mrml.xray import ATTRIBUTE, XRayView
from ..mrml.xray_record import XRayRecord, greys_of, name_of
from ..translation import _
from .geometry import (
    reading_of,
    refuse_other_frame,
    use_reading,
    with_c_arm_header,
    with_slot_scan_header,
)
from .history import History


def add_volume(registration: Registration, volume: Any) -> XRayView:
    """Return a view of a volume node, which stays as it is.

    An image, a run of frames, the volume that a sequence shows now. One that Slicer's DICOM module
    has loaded is taken as its file, with all that the header says.

    The X-ray of a registration, of this or another one, gives a view with the same image and
    geometry.

    InputError where it is no X-ray; nothing is left of the view then.
    """
    if volume is registration.ct:
        raise InputError(
            _("{name}: is the CT of this registration, expected an X-ray; choose another volume."),
            name=volume.GetName(),
        )
    if file := _file_shown_by(volume):
        return _add_frames(registration, file)
    copied = XRayView(volume) if volume.GetAttribute(ATTRIBUTE) else None
    with _new_view(registration, volume.GetName()) as view:
        if copied is not None:
            view.record = copied.record
            copy_identity(volume, view.node)
            set_source(view, copied.source or volume)
            return view
        spacing = volume.GetSpacing()[:2]
        view.change(image_pixel_mm=None if spacing == (1.0, 1.0) else spacing)
        try:
            view.change(**_grey_values(frame_of(volume, view.record)))
        except InputError as error:
            raise InputError(f"{volume.GetName()}: {error}") from None
        set_source(view, volume)
    return view


#: Adds X-rays that were read to a registration, in the main thread, and returns the views. The
#: second argument, if any, is called with a view and its XRay, see `Inputs.cache_xray`.
AddXRays = Callable[..., list[XRayView]]


def read(path: str | os.PathLike, name: str = "") -> AddXRays:
    """Read the file of an X-ray (DICOM, PNG, TIFF, MHA, NRRD, ...), or the views of a case.json, in any thread.

    Views of a case.json are added with geometry, certainty and masks, and its shared uncertainties
    apply from then on; its CT, pose and landmarks are not used. For an X-ray see `XRayFile.add_to`.

    Both this function and the returned one raise InputError for invalid content; no part of a view
    remains in that case.

    Parameters
    ----------
    name
        Of the view, by default the file's.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        case = Case.load(path)
        views = read_views(case, CaseFile.read(path))
        return lambda registration, keep=None: _add_views(registration, views, case.shared_unknowns)
    return read_xray(path, name).add_to


@dataclass(frozen=True, eq=False)
class XRayFile:
    """An X-ray as its file describes it.

    Attributes
    ----------
    record
        Its name, and what its header says.
    frames
        All frames; the first is shown.
    identity
        Of `read_identity`.
    xray
        Line integrals of the first frame; None if it cannot be used.
    """

    record: XRayRecord
    frames: list[RawImage]
    identity: Identity
    xray: XRay | None

    @property
    def size(self) -> tuple[int, int]:
        """(columns, rows)."""
        rows, columns = self.frames[0].values.shape
        return columns, rows

    @property
    def header_has_geometry(self) -> bool:
        """Whether the header describes the whole geometry: of a CT localizer, an EOS image or a single frame of a C-arm."""
        header = self.record.header
        complete = bool(header.values and not header.missing)
        c_arm = header.kind == "c_arm" and len(self.frames) == 1 and complete
        return self.record.geometry is not None or c_arm

    def add_to(
        self, registration: Registration, keep: Callable[[XRayView, XRay], object] | None = None
    ) -> list[XRayView]:
        """Add the X-ray to a registration, see `AddXRays`.

        Incomplete geometry in a DICOM header is kept as a proposal ("header").

        Raises
        ------
        InputError
            For an image that cannot be used; no part of the view remains.
        """
        view = _add_frames(registration, self)
        now = view.record
        unchanged = now.lens is None and now.image_pixel_mm == self.record.image_pixel_mm
        if keep is not None and self.xray is not None and unchanged and view.mask is None:
            keep(view, self.xray)
        return [view]


def read_xray(path: Path, name: str = "") -> XRayFile:
    """Read the file of an X-ray, in any thread."""
    name = name or name_of(path)
    frames = load_frames(path)
    image = XRayRecord(
        name,
        image_pixel_mm=frames[0].pixel_mm,
        dicom=image_origin(path, None),
        taken=taken_by_header(path, None),
        **_grey_values(frames[0]),
    )
    record = with_slot_scan_header(image, path)
    record = record if record.header.kind else with_c_arm_header(image, path, len(frames))
    return XRayFile(record, frames, read_identity(path), _picture(frames, record))


#: Voxels that Slicer has read from a file may be scaled, but for rounding.
SAME_IMAGE = 1 - 1e-6


def _file_shown_by(volume: Any) -> XRayFile | None:
    """Return the DICOM file that a volume was made from, where it still shows that.

    A volume that a person has made of it, as by cropping, says that it is of the same file.
    """
    path = file_of(volume)
    if path is None:
        return None
    file = read_xray(path, volume.GetName())
    voxels = any_voxels(volume)
    if len(voxels) not in (1, len(file.frames)):
        return None
    shown = (n for n, frame in enumerate(file.frames) if _are_alike(voxels[0], frame.values))
    number = next(shown, None)  # the first, or that which a sequence of Slicer's shows now
    if number == 0 or number is None:
        return file if number == 0 else None
    return replace(file, record=replace(file.record, frame=number), xray=None)


def _are_alike(shown: np.ndarray, stored: np.ndarray) -> bool:
    """Return whether two pictures are the same, maybe scaled or inverted."""
    if shown.shape != stored.shape:
        return False
    return bool(abs(np.corrcoef(shown.ravel(), stored.ravel())[0, 1]) > SAME_IMAGE)


def _picture(frames: list[RawImage], record: XRayRecord) -> XRay | None:
    """Return the X-ray that a view with this record makes of its first frame.

    None where it cannot, as it says itself.
    """
    with suppress(InputError):
        raw = raw_of(stored(*frames)[0], record)
        xray = to_line_integrals(raw, record.intensity, record.inverted)
        greys(xray)  # known by then
        return xray
    return None


def _add_frames(registration: Registration, file: XRayFile) -> XRayView:
    record = file.record
    frames = file.frames
    refuse_other_frame(registration, record.name, record)
    with _new_view(registration, record.name) as view:
        view.record = record
        set_source(view, source_node(view, record.name, *frames), file.xray)
        if frames[0].open is not None:
            add_mask(view, SHUTTER, frames[0].open)
        remember_identity(view.node, file.identity)
    if record.geometry is None and file.header_has_geometry:
        with suppress(InputError):  # what is wrong with it is seen in the table of geometries
            values = {**reading_of(view), "size": list(view.size)}
            c_arm = read_described(JsonObject(view.name, "c_arm", values), CArm)
            use_reading(registration, view, c_arm, _("DICOM header"))
    return view


def _add_views(
    registration: Registration, added: list[AddView], shared: SharedUnknowns
) -> list[XRayView]:
    there = len(registration.xrays)
    if there + len(added) > MAX_VIEWS:
        raise InputError(
            _(
                "X-rays: the case has {count} views, but with the {there} that are there no more "
                "than {most} can be shown; remove some first."
            ),
            count=len(added),
            there=there,
            most=MAX_VIEWS,
        )
    views = [add(registration) for add in added]
    every = asdict(settings_of(registration).shared_unknowns)
    known = without_none(every)
    change_settings(registration, shared_unknowns=replace(shared, **known))
    return views


@contextmanager
def _new_view(registration: Registration, name: str) -> Iterator[XRayView]:
    """Add a view, which is removed again where anything goes wrong with it."""
    view = registration.add_xray(clean_name(name))
    try:
        yield view
    except Exception:
        registration.remove_xray(view)
        raise


def _grey_values(raw: RawImage) -> dict[str, Any]:
    """Return the meaning of an image's values, as far as it is known."""
    try:
        return greys_of(raw)
    except InputError:
        return greys_of(raw, "linear")


def use_mask(view: XRayView, path: Path) -> None:
    """Use of an X-ray only where a picture of its size is not 0.

    InputError for one of another size, and where it leaves nothing.
    """
    used = load_image(path).values != 0
    record = view.record
    if used.shape != tuple(view.size[::-1]):
        raise InputError(
            _(
                "{file}: has {own[1]} \u00d7 {own[0]} pixels, expected the {size[0]} \u00d7 "
                "{size[1]} of {name}; choose another X-ray."
            ),
            file=path.name,
            own=used.shape,
            size=view.size,
            name=view.name,
        )
    used = used[:, ::-1] if record.flipped else used
    used = undistorted_mask(used, record.lens)
    segmentation, _segment = segmentation_node(view.scene, name_of(path), used[None], view.node)
    segmentation.SetNodeReferenceID(OWNER, view.id)
    set_mask(view, segmentation)
    refresh(view)


def rename(registration: Registration, view: XRayView, name: str) -> None:
    """Give a view another name, in its products and in the history, too.

    InputError where another view has it, or it could not be part of a file's name.
    """
    before = view.name
    name = view_name(JsonObject("X-rays", "", {"name": name.strip()}))
    others = {other.name.casefold() for other in registration.xrays if other != view}
    if name.casefold() in others:
        raise InputError(
            _(
                'X-rays: another view has the name "{name}", expected one of its own for each; choose another.'
            ),
            name=name,
        )
    nodes.rename(view.node, name)
    History(registration).rename_view(before, name)


def clean_name(name: str) -> str:
    """Return the nearest name to this one that a view may have: "2: AP/lat" becomes "2 AP lat"."""
    odd = {c for c in name if c in NOT_IN_FILE_NAMES or not c.isprintable()}
    words = name.translate(dict.fromkeys(map(ord, odd), " ")).split()
    return " ".join(words)[:MAX_NAME_LENGTH].strip(" .") or _("X-ray")


# The scouts (localizers) of a CT that lie in its DICOM folder: found and read with it, added on
# request

#: Files in the folder above that of the slices up to which scouts are looked for there.
MAX_STUDY_FILES = 4000


@dataclass(frozen=True)
class Scouts:
    """Of one CT.

    Attributes
    ----------
    add
        By their names, functions that add each to a registration, see `read`.
    left_out
        Why others are not used, a sentence each.
    """

    add: dict[str, AddXRays]
    left_out: list[str]

    def missing_in(self, registration: Registration) -> list[str]:
        """Return the names of those that a registration has not got."""
        there = {view.record.scout for view in registration.xrays}
        return [name for name in self.add if name not in there]

    def add_to(self, registration: Registration) -> list[XRayView]:
        """Add those that a registration has not got.

        InputError where it has X-rays in a world of their own, and as `read`.
        """
        for view in registration.xrays:
            if view.placed and view.record.header.kind != "slot_scan":
                raise InputError(
                    _(
                        "X-rays: {name} has a world of its own, and the scouts of a CT lie in the "
                        "scanner's; remove {name}, or begin another registration."
                    ),
                    name=view.name,
                )
        views = []
        for name in self.missing_in(registration):
            views += self.add[name](registration)
            views[-1].change(scout=name)
        return views


def read_scouts(ct_slice: Path) -> Scouts | None:
    """Return the scouts of a CT, by one of its slices.

    In their folder and below it, else in the folders beside it.

    None where there are none.

    Of files that were sent, nowhere else than among these.
    """
    folder = ct_slice.parent
    within = upload_root(ct_slice)
    study = _study(folder, ct_slice)
    if study is None and (within is None or within in (folder.parent, *folder.parent.parents)):
        study = _study(folder.parent, ct_slice)
    if study is None:
        return None
    scouts = Scouts({}, [])
    for name, path in study.localizers.items():
        try:
            add = read(path, name)
        except InputError as error:
            scouts.left_out.append(str(error))
            continue
        scouts.add[name] = add
    scouts.left_out.extend(replace(study, other_series=[]).left_out)
    return scouts


def _study(folder: Path, ct_slice: Path) -> Study | None:
    """Return what a folder holds of the examination of a CT with localizers.

    None for anything else, and for too many files.
    """
    if next(islice(folder.rglob("*"), MAX_STUDY_FILES, None), None) is not None:
        return None
    with suppress(InputError):
        study = find_study(folder)
        if study.localizers and frame_of_reference(study.ct, study.series) == frame_of_reference(
            ct_slice
        ):
            return study
    return None
