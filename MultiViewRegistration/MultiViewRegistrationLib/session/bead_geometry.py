"""The geometry of X-rays from the beads of a phantom that they show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.xray import XRay, to_line_integrals
from ..io.calibration.from_beads import (
    BeadCamera,
    BeadImage,
    bead_assumptions,
    bead_origin,
    calibrate_from_beads,
    find_in_image,
)
from ..io.placement import meeting_point
from ..io.points import BeadModel
from ..jobs import ProgressRecord
from ..mrml.case import frame_of
from ..mrml.xray import XRayView
from ..translation import _
from .geometry import give_geometry

if TYPE_CHECKING:
    from .session import Session

#: Share of the work that looks for beads; the rest finds the cameras.
FINDING_SHARE = 0.6


@dataclass(frozen=True, eq=False)
class BeadCameras:
    """What X-rays show of a model of beads.

    Attributes
    ----------
    seen
        What looks like a bead in each X-ray, also where no camera was found.
    cameras
        Of the X-rays; none where something is wrong.
    problem
        What that is, a sentence; "" for nothing.
    """

    seen: list[BeadImage]
    cameras: list[BeadCamera]
    problem: str = ""


@dataclass(frozen=True, eq=False)
class BeadXRays:
    """X-rays of a registration in which beads are looked for.

    It is made on the main thread; `find` works in any.

    Attributes
    ----------
    ids, names
        Of those that are used.
    shown
        Their images as they are registered, by which it is known whether they have changed.
    xrays
        Their images as they were taken.
    hints
        For each the camera that it has now, which tells whether it is mirrored, and about how far
        the detector is; None for one without.
    distance_mm
        From source to detector, None for unknown.
    """

    ids: list[str]
    names: list[str]
    shown: list[XRay]
    xrays: list[XRay]
    hints: list[Camera | None]
    distance_mm: float | None

    @classmethod
    def of(cls, session: Session) -> BeadXRays:
        """Return the X-rays that are used.

        Raises
        ------
        InputError
            Where there is none, one is a slot scan, or an image cannot be used.
        """
        views = session.registration.used_xrays
        if not views:
            raise InputError(_("Beads: no X-ray is used; add X-rays, or use one that is skipped."))
        for view in views:
            if view.record.slot_scan:
                raise InputError(
                    _(
                        "{name}: is a slot scan, expected images of a C-arm; skip it, and begin "
                        "again."
                    ),
                    name=view.name,
                )
        known = (view.record.c_arm_proposal.get("source_to_detector_mm") for view in views)
        return cls(
            [view.id for view in views],
            [view.name for view in views],
            [session.xray(view) for view in views],
            [_image(session, view) for view in views],
            [view.given_camera if view.placed else None for view in views],
            next(filter(None, known), None),
        )

    def are_those_of(self, session: Session) -> bool:
        """Return whether they are still what a session has."""
        used = session.registration.used_xrays
        try:
            return [view.id for view in used] == self.ids and all(
                session.xray(view) is shown for view, shown in zip(used, self.shown, strict=True)
            )
        except InputError:  # an image that cannot be used any more
            return False

    def find(
        self,
        model: BeadModel,
        seen: Sequence[BeadImage] = (),
        near: Sequence[BeadCamera] = (),
        left_out: Sequence[frozenset[int]] = (),
        on_progress: Callable[[Any], bool] = lambda record: True,
    ) -> BeadCameras:
        """Return the beads and the cameras of the X-rays.

        Parameters
        ----------
        seen
            The beads of the X-rays, where they were found before.
        near
            The cameras of the X-rays, where only other beads are left out than for these.
        left_out
            Numbers of the beads of each X-ray that are none.
        on_progress
            As of a `Task`.
        """

        def tell(fraction: float, stage: str) -> None:
            if on_progress(ProgressRecord(fraction, stage)) is False:
                raise CancelledError

        found = list(seen)
        for number in range(len(found), len(self.xrays)):
            stage = _("looking for beads in {name}").format(name=self.names[number])
            tell(FINDING_SHARE * number / len(self.xrays), stage)
            found.append(find_in_image(self.xrays[number], len(model.points)))
        out = left_out or [frozenset()] * len(found)
        images = []
        for number, each in enumerate(found):
            beads = [bead for n, bead in enumerate(each.beads) if n not in out[number]]
            images.append(BeadImage(each.xray, beads, near[number].camera if near else None))
        try:
            cameras = calibrate_from_beads(
                images,
                model,
                names=self.names,
                cameras=self.hints,
                distance_mm=self.distance_mm,
                progress=lambda fraction, name: tell(
                    FINDING_SHARE + (1 - FINDING_SHARE) * fraction,
                    _("matching {name}").format(name=name),
                ),
            )
        except InputError as error:
            return BeadCameras(found, [], str(error))
        return BeadCameras(found, cameras)


def _image(session: Session, view: XRayView) -> XRay:
    """Return a view's image as it was taken, since a camera from beads knows no distortion."""
    record = view.record
    if record.lens is None or view.source is None:
        return session.xray(view)
    raw = frame_of(view.source, replace(record, geometry=None, distortion=None))
    return to_line_integrals(raw, record.intensity, record.inverted)


def use_bead_cameras(
    views: Sequence[XRayView],
    cameras: Sequence[BeadCamera],
    fixed_to: str,
) -> None:
    """Give X-rays the cameras that beads show.

    They come into the world in which the X-rays were before, if they were in one: the first that
    had a geometry keeps its direction, and where they meet stays.

    Parameters
    ----------
    fixed_to
        One of `io.view_record.FIXED_TO`.
    """
    model_from_world = rigid.inverse(_world_from_model(views, cameras))
    for view, found in zip(views, cameras, strict=True):
        pose = found.camera.camera_from_world @ model_from_world
        give_geometry(
            view,
            replace(found.camera, camera_from_world=pose),
            uncertainty=found.uncertainty,
            origin=bead_origin(found),
            assumptions=bead_assumptions(found, fixed_to),
            marker=fixed_to,
        )


def _world_from_model(views: Sequence[XRayView], cameras: Sequence[BeadCamera]) -> np.ndarray:
    """Return the transform (4, 4) from the frame of the beads to that of the X-rays as they are."""
    both = [
        (view.camera, found.camera)
        for view, found in zip(views, cameras, strict=True)
        if view.placed
    ]
    if not both:
        return np.eye(4)
    before, after = both[0]
    R = before.camera_from_world[:3, :3].T @ after.camera_from_world[:3, :3]
    middles = [meeting_point(list(each)) for each in zip(*both, strict=True)]
    if any(middle is None for middle in middles):  # one view, or parallel ones
        depth_mm = float(before.depth(np.zeros(3)))
        middles = [
            each.source + depth_mm * each.world_from_camera[:3, 2] for each in (before, after)
        ]
    return rigid.from_rotation_translation(R, middles[0] - R @ middles[1])
