"""A case in memory: the CT, the views, and what else is known about them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ..assessment.records import NOTE, Finding
from ..errors import InputError, naming, warn
from ..geometry import rigid
from ..geometry.camera import Camera
from ..geometry.fields import PRESUMED
from ..imaging.body import Body, Structures, check_names
from ..imaging.ct import CT
from ..imaging.dicom_file import DicomFrame, read_dicom
from ..imaging.field import signs_of_cropping, signs_of_resampling
from ..imaging.reading import RawImage, undistorted, undistorted_mask
from ..imaging.xray import View, XRay, load_image, to_line_integrals
from .case_file import (
    CaseFile,
    DicomOrigin,
    OfBodies,
    case_name,
    check_structure_truths,
    input_files,
    names_of_bones,
    uid_of,
)
from .case_settings import CaseSettings
from .dicom_identity import (
    DAY,
    Mismatch,
    MismatchWarning,
    dicom_origin,
    frame_of_reference,
    mismatches,
    mismatches_of,
    read_identity,
    reveals,
)
from .files import describe, image_sha256, printable
from .placement import (
    check_sources,
    check_start,
    check_starts,
    ct_box,
    refuse_copies,
    resolve_projection_signs,
)
from .transforms import in_lps
from .view_record import LEFT_OUT, ViewRecord

if TYPE_CHECKING:
    from ..geometry.landmarks import Landmark
    from . import arrays

SAME_PATIENT = Finding("patient-confirmed", NOTE)


@dataclass(eq=False, repr=False)
class Case(OfBodies):
    """The inputs of a registration.

    Attributes
    ----------
    bodies
        A CT, and implants beside it, or bones with a CT each.
    inputs
        SHA-256 of each file or DICOM folder by its name, without the folders that it lies in.
    images
        SHA-256 of each X-ray's file or values, by which a result of the same case is known.
    name
        Of the file, or of the folder of a case.json.
    seconds
        That loading took.
    dicom
        By which UIDs the X-rays are known, for an export to name them.
    mismatches
        Where the DICOM headers of CT and X-rays contradict each other.
    bodies_key
        `BodySource.keys` of each body, the same for cases with the same bodies.
    """

    bodies: tuple[Body, ...]
    views: list[View]
    inputs: dict[str, str] = field(default_factory=dict)
    images: tuple[str, ...] = ()
    path: Path | None = None
    name: str = "case"
    seconds: float = 0.0
    dicom: DicomOrigin = field(default_factory=DicomOrigin)
    mismatches: Sequence[Mismatch] = ()
    bodies_key: tuple = ()

    @property
    def ct(self) -> CT:
        """The CT of the first body."""
        return self.bodies[0].ct

    @property
    def anatomy_key(self) -> tuple:
        """A key that cases have in common whose first bodies are of the same CT, unit and mask; () without files."""
        return self.bodies_key[0][0] if self.bodies_key else ()

    @property
    def structures(self) -> Structures:
        """The bones of the first body that have a pose of their own each."""
        return self.bodies[0].bones

    @property
    def first_bone(self) -> str:
        """The name of the first of bones that have a CT each; "" of a patient's CT."""
        return self.bodies[0].name

    def starting_at(self, pose: np.ndarray | None) -> Case:
        """Return the case with another start pose (4, 4), None for none."""
        case = replace(self)
        case.world_from_ct = pose
        return case

    def settings_json(self, **changes: Any) -> dict[str, Any]:
        """Return the entries of a case.json beside CT and views, for one whose files have no headers."""
        found = self.entries | {"header_mismatch": {each.kind: True for each in self.mismatches}}
        return CaseSettings(**found | changes).to_json()

    def warn_of_other_bones(self, of_structures: str = "") -> None:
        """Say that what follows takes the first of several bones that have a CT each, and this of bones of one CT."""
        if of_structures and self.structures.names:
            warn(f"{self.name}: {of_structures}")
        first, *others = [body.title for body in self.bodies]
        if others:
            warn(
                f"{self.name}: only {first} is taken, not {', '.join(others)}; mvreg register "
                "takes all together."
            )

    @property
    def identity_findings(self) -> list[Finding]:
        """Findings that CT and X-rays may be of different patients or sides; none if the user confirmed the patient."""
        if self.same_patient:
            return []
        return [mismatch.finding for mismatch in self.mismatches if mismatch.kind != DAY]

    @property
    def identity_notes(self) -> list[Finding]:
        """Notes that the user confirmed the patient, and that CT and X-rays are of different days."""
        is_overruled = self.same_patient and any(each.kind != DAY for each in self.mismatches)
        days = [mismatch.finding for mismatch in self.mismatches if mismatch.kind == DAY]
        return [*([SAME_PATIENT] if is_overruled else []), *days]

    @property
    def assumptions(self) -> dict[str, tuple[str, ...]]:
        """What is assumed of the views' geometry, sentences by the view's name."""
        return {view.name: view.assumptions for view in self.views if view.assumptions}

    @property
    def is_masked(self) -> bool:
        """Whether a mask leaves out what did not fit at an earlier pose."""
        return any(LEFT_OUT in view.assumptions for view in self.views)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike,
        last: Case | None = None,
        world_from_ct: np.ndarray | None = None,
        read_ct: Callable[[], CT] | None = None,
    ) -> Case:
        """Load a case.json, or the one in a folder, with all that it names.

        Parameters
        ----------
        last
            A case loaded before, whose CT and structures are taken if they are the same.
        world_from_ct
            (4, 4), a start pose in place of the case's own.
        read_ct
            Gives the CT that it names, as `ct_of` does, which has begun elsewhere.

        Raises
        ------
        InputError
            For invalid content.

        Warns
        -----
        UserWarning
            Of unknown keys, of a view that does not show the CT at the start pose, of structures as
            `read_structures`, and of DICOM headers of different patients or sides.
        """
        file = CaseFile.read(path)
        if world_from_ct is not None:
            file.world_from_ct = world_from_ct
        return cls.of(file, last, read_ct)

    @classmethod
    def of(
        cls, file: CaseFile, last: Case | None = None, read_ct: Callable[[], CT] | None = None
    ) -> Case:
        """Load the case of what a case.json says; parameters, errors and warnings as `load`."""
        began = perf_counter()
        different = mismatches_of(file)
        for mismatch in different:
            if mismatch.kind != DAY:
                warn(MismatchWarning(f"{printable(file.path)}: {mismatch.sentence}"))
        xrays = [xray_of(file, view) for view in file.views]
        inputs, by_path = hashes(file)
        keys = tuple(body.keys(by_path.__getitem__) for body in file.bodies)
        bodies = _bodies(file, keys, last, read_ct)
        views = views_of(printable(file.path), file.views, xrays, bodies[0].ct, file.world_from_ct)
        check_starts(f"{printable(file.path)}: ", bodies, file.views, views)
        case = cls(
            **file.entries | {"landmarks": _undistorted_landmarks(file)},
            bodies=bodies,
            views=views,
            inputs=inputs,
            images=tuple(by_path[view.image_path] for view in file.views),
            path=file.path,
            bodies_key=keys,
            dicom=dicom_origin(file),
            mismatches=different,
            name=case_name(file.path),
            seconds=perf_counter() - began,
        )
        with naming(printable(file.path)):
            if case.landmarks:
                from ..geometry import landmarks

                landmarks.check(case.landmarks, case.cameras)
        check_structure_truths(printable(file.path), case.structure_truths, case.bone_names)
        return case

    @classmethod
    def from_arrays(
        cls,
        *parts: arrays.View | arrays.Body,
        targets: ArrayLike | None = None,
        truth_world_from_ct: ArrayLike | None = None,
        same_patient: bool = False,
        name: str = "case",
        axes: str = "lps",
    ) -> Case:
        """Make the case of a CT and X-rays in memory.

        Its other entries, `search` for one, can be set on it afterwards.

        Arrays are of NumPy or PyTorch; those on another device are copied from there. An image of
        SimpleITK or nibabel, or a path, brings its own position, and is read as its file is: (k, j,
        i) of SimpleITK and RAS of nibabel become what `View` and `Body` describe.

        Parameters
        ----------
        parts
            A `View` for each X-ray, and the `Body` of the CT; of bones that have a CT each one with
            a name for each.
        targets
            (N, 3) CT LPS mm, where errors count.
        truth_world_from_ct
            (4, 4), only read to report errors.
        same_patient
            A person says that CT and X-rays are of one patient, whatever the DICOM headers of those
            given as paths say.
        axes
            "ras" where the matrices and points given here are in RAS, as nibabel's and Slicer's:
            `ct_from_index`, matrices as a `projection`, poses, `targets`. Cameras, and the result,
            are in LPS.

        Raises
        ------
        InputError
            For whatever is not as described; names the argument.

        Warns
        -----
        UserWarning
            Where something looks otherwise than it is taken: order of the axes, bone bright, a view
            that does not show the CT, DICOM headers of different patients or sides, labels or a mask
            of another frame of reference; labels on another grid; structures that the end of the CT
            cuts off.
        """
        from . import arrays  # most cases are of files

        began = perf_counter()
        of_ct, images = arrays.sorted_parts(parts, axes)
        beside = in_lps(axes, targets=targets, truth_world_from_ct=truth_world_from_ct)
        points = None
        truth = None
        if targets is not None:
            points = rigid.array_of("targets", beside["targets"])
            points = rigid.check_numbers(points, (len(points) if points.ndim else 0, 3), "targets")
        if truth_world_from_ct is not None:
            key = "truth_world_from_ct"
            truth = rigid.check_rigid(rigid.array_of(key, beside[key]), key)
        bodies = arrays.bodies_of_arrays(of_ct, beside)
        taken = bodies[0].ct
        start = bodies[0].world_from_ct
        views = arrays.views_of_arrays(images)
        files = [file for file, _ in views]
        xrays = [_xray(file.field, raw, file) for file, raw in views]
        for n, given in enumerate(images):
            if given.mask is not None:
                mask = f"views[{n}].mask"
                xrays[n] = _masked(xrays[n], rigid.array_of(mask, given.mask) != 0, f"{mask}:")
        check_sources(files, xrays, taken, start)
        names = [file.name for file in files]
        different = mismatches(arrays.identities(of_ct, names, images))
        for mismatch in different:
            if mismatch.kind != DAY:
                warn(mismatch.sentence)
        made = views_of("the case", files, xrays, taken, start)
        check_starts("", bodies, files, made)
        return cls(
            bodies=tuple(bodies),
            views=made,
            images=tuple(hashlib.sha256(raw.values.tobytes()).hexdigest() for _, raw in views),
            targets=points,
            truth_world_from_ct=truth,
            same_patient=bool(same_patient),
            mismatches=different,
            name=name,
            seconds=perf_counter() - began,
        )

    @property
    def of_what(self) -> str:
        """What of its CT has a pose, as the end of a sentence; "" where that is all of it."""
        if not self.bone_names:
            return "" if self.ct.mask is None else ", one structure of it"
        first, *others = self.bone_names
        return f", bones {first} and {len(others)} more" if others else f", bone {first}"

    def __repr__(self) -> str:
        voxels = self.ct.volume.size
        spacing = self.ct.volume.spacing_mm
        size = " x ".join(map(str, voxels))
        mm = " x ".join(f"{each:.3g}" for each in spacing)
        views = ", ".join(
            f"{view.name} {view.camera.size[0]} x {view.camera.size[1]}" for view in self.views
        )
        start = "no start" if self.world_from_ct is None else "with a start"
        truth = "" if self.truth_world_from_ct is None else ", with truth"
        return f"Case({self.name!r}: CT of {size} voxels of {mm} mm{self.of_what}; views {views}; {start}{truth})"

    @property
    def cameras(self) -> dict[str, Camera]:
        """The camera of each view, by the view's name."""
        return {view.name: view.camera for view in self.views}


def xray_of(file: CaseFile, view: ViewRecord) -> XRay:
    """Return the X-ray, valid where its field is and its mask, if any, is not 0."""
    xray = in_field(view)
    if view.mask is None:
        return xray
    return _masked(
        xray,
        mask_of(view),
        f"{printable(file.path)}: {view.field}.mask, {describe(view.mask.written)},",
    )


def _masked(xray: XRay, used: np.ndarray, mask: str) -> XRay:
    """Return the X-ray, valid where a mask (rows, columns) is True.

    Parameters
    ----------
    mask
        Begins the sentence where something is wrong.
    """
    if used.shape != xray.valid.shape:
        size = " x ".join(map(str, used.shape))
        image_rows, image_columns = xray.valid.shape
        size = (
            f"{used.shape[1]} columns and {used.shape[0]} rows"
            if used.ndim == 2
            else f"the shape {size}"
        )
        raise InputError(
            f"{mask} has {size}, expected the image's {image_columns} and {image_rows}; draw it on "
            "the image."
        )
    if not (xray.valid & used).any():
        raise InputError(
            f"{mask} is empty within the field of the X-ray, expected pixels other than 0 where it "
            "is to be used; correct it or leave it out."
        )
    return replace(xray, valid=xray.valid & used)


def in_field(view: ViewRecord, valid: np.ndarray | None = None) -> XRay:
    """Return the X-ray without the view's mask.

    Parameters
    ----------
    valid
        (rows, columns) its field where that is known; sought by default.
    """
    return _xray(str(view.image_path), image_of(view), view, valid)


def _xray(name: str, image: RawImage, view: ViewRecord, valid: np.ndarray | None = None) -> XRay:
    """Return the X-ray in an image.

    Parameters
    ----------
    name
        Begins the sentence where something is wrong.
    """
    with naming(name):
        if valid is not None and valid.shape != image.values.shape:
            rows, columns = image.values.shape
            expected_rows, expected_columns = valid.shape
            raise InputError(
                f"has {columns} columns and {rows} rows, expected {expected_columns} and "
                f"{expected_rows} as in the first frame; give images of one size."
            )
        xray = to_line_integrals(image, view.intensity, valid=valid)
    return replace(
        xray, pixel_mm=view.pixel_mm or xray.pixel_mm
    )  # rather than what the image's header says


def image_of(view: ViewRecord) -> RawImage:
    """Return the image that a view names, without its distortion.

    Raises
    ------
    InputError
        Beginning with the path of the file.
    """
    raw = load_image(view.image_path, view.frame)
    with naming(view.image_path):
        return undistorted(raw, view.lens)


def mask_of(view: ViewRecord) -> np.ndarray:
    """Return the mask (rows, columns) that a view names, True = use.

    As it is drawn on the stored image, it loses the distortion with that.
    """
    assert view.mask is not None
    used = load_image(view.mask.path).values != 0
    return undistorted_mask(used, view.lens)


def views_of(
    where: str, files: list[ViewRecord], xrays: list[XRay], ct: CT, world_from_ct: np.ndarray | None
) -> list[View]:
    """Return the views of these entries and images.

    The cameras are settled by each other and by where the CT is.

    Parameters
    ----------
    where
        What messages begin with, the case's file for one.

    Raises
    ------
    InputError
        Where an image does not fit its geometry, two views are the same, or none shows the CT.

    Warns
    -----
    UserWarning
        Of one that does not.
    """
    low, high = ct_box(ct)
    centre = None
    if world_from_ct is not None:
        world_from_index = world_from_ct @ ct.volume.ct_from_index
        centre = rigid.transform_points(world_from_index, (low + high) / 2)
    sizes = [xray.valid.shape[::-1] for xray in xrays]
    cameras = resolve_projection_signs(files, sizes, centre)
    refuse_copies(where, files, xrays)
    if world_from_ct is not None:
        check_start(where, files, cameras, ct, world_from_ct)
    return [_view(file, xray, camera) for file, xray, camera in zip(files, xrays, cameras)]


def _view(file: ViewRecord, xray: XRay, camera: Camera) -> View:
    """Return a view.

    The principal point of an image that may be cropped or resampled gets a larger uncertainty; if
    the case states one, only the verdict uses the larger one.
    """
    same = {key: getattr(file, key) for key in ("marker", "assumptions", "taken")}
    known = {**file.deviations, **same}
    is_stated = "principal_point_sd_px" in file.uncertainty
    doubt = None
    if file.kind == "projection_matrix" and file.size is None:
        # Any other geometry says the size of its image, which `ViewRecord.camera` compares.
        doubt = signs_of_cropping(xray.valid, is_stated=is_stated) or signs_of_resampling(
            camera.intrinsics, xray.pixel_mm, _detector_mm_by_header(file), camera.size
        )
    if doubt is None:
        return View(file.name, xray, camera, **known)
    key = PRESUMED if is_stated else "principal_point_sd_px"
    known[key] = max(known["principal_point_sd_px"], doubt.off_px)
    return View(file.name, xray, camera, **known, doubt=f"{file.name} {doubt.sentence}")


def _detector_mm_by_header(file: ViewRecord) -> float | None:
    dicom = None if file.image is None else read_dicom(file.image.path)
    return None if dicom is None else DicomFrame(dicom).number("DistanceSourceToDetector")


def _undistorted_landmarks(file: CaseFile) -> list[Landmark]:
    """Return the landmarks at pixels of the undistorted images.

    The file has those of the stored ones.
    """
    lenses = {view.name: view.lens for view in file.views}

    def straight(name: str, pixel: np.ndarray) -> np.ndarray:
        if (lens := lenses[name]) is None:
            return pixel
        intrinsics, distortion = lens
        return distortion.undistort_pixels(intrinsics, pixel)

    landmarks = []
    with naming(f"{printable(file.path)}: a landmark's pixel"):
        for landmark in file.landmarks:
            pixels = {name: straight(name, pixel) for name, pixel in landmark.pixels.items()}
            landmarks.append(replace(landmark, pixels=pixels))
    return landmarks


def _bodies(
    file: CaseFile,
    keys: Sequence[tuple[tuple, tuple]],
    last: Case | None,
    read_ct: Callable[[], CT] | None,
) -> tuple[Body, ...]:
    """Return the bodies of a case, with what the last one has of the same keys, see `BodySource.keys`."""
    known = dict(zip(last.bodies_key, last.bodies, strict=False)) if last else {}
    cts = {ct: body.ct for (ct, _bones), body in known.items()}
    found: list[Body] = []
    for source, key in zip(file.bodies, keys, strict=True):
        read = read_ct if read_ct and not found else source.read
        own = cts.get(key[0]) or read()
        bones = known[key].bones if key in known else source.read_bones(own)
        uid = frame_of_reference(source.ct.path, source.series) or uid_of(key[0][0])
        found.append(Body(own, source.name, source.world_from_ct, uid, bones))
    check_names(names_of_bones(found))
    return tuple(found)


def hashes(file: CaseFile) -> tuple[dict[str, str], dict[Path, str]]:
    """Return SHA-256 of each input by the name of its file, numbered where several have it, and by its path.

    Folders are left out: their names are often those of patients. A name that has a patient's in
    it, by the headers of the images, gives way to the file's role in the case.
    """
    roles = {path: role for role, path in reversed(input_files(file))}  # frames are one file
    by_path = {path: image_sha256(path) for _, path in input_files(file)}
    identities = [read_identity(path) for path in by_path]
    named: dict[str, str] = {}
    for path, digest in by_path.items():
        is_secret = any(reveals(path.name, identity) for identity in identities)
        own = roles[path] if is_secret else path.name
        names = (own if n == 1 else f"{own} ({n})" for n in range(1, len(by_path) + 1))
        named[next(name for name in names if name not in named)] = digest
    return named, by_path


def changed_inputs(recorded: Mapping[str, str], file: CaseFile) -> list[str]:
    """Return the roles of files of a case that differ from those of a result's `inputs`, which had folders in its names before."""
    named, by_path = hashes(file)
    known = {(PurePosixPath(name).name, digest) for name, digest in recorded.items()} | set(
        recorded.items()
    )
    changed = {
        path for path, one in zip(by_path, named.items()) if not known & {one, (path.name, one[1])}
    }
    return [role for role, path in input_files(file) if path in changed]
