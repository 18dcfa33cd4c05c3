"""Which further view would determine a pose best, before it is taken.

Each view v tells of the pose and of the errors of its own camera, together x, what its DRR's
derivatives say: its residuals have the Gauss-Newton Hessian H_v. Noise and differences between CT
and X-ray make a gradient whose covariance is s H_v; s is measured on the views that there are, from
tile to tile (`uncertainty`). With the cameras' stated standard deviations,

    covariance of x = (sum over v of H_v / s + diag(1 / sd^2))^-1.

A view that is not there yet adds its H_v all the same: it takes a DRR at that angle, not an X-ray
(optimal design of experiments: Fedorov, Theory of Optimal Experiments, 1972).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, Reason, Use, code_of
from ..geometry import rigid
from ..geometry.camera import Camera
from ..geometry.fields import UNCERTAINTY
from ..geometry.machines import angle, rotation
from ..imaging.xray import CALIBRATED, SharedUnknowns, View, XRay
from ..registration.cameras import CameraCorrections, uncalibrated_view_indices
from ..registration.objective import Comparison, EvaluationPoint
from ..registration.prepared_ct import PreparedCT
from ..registration.problem import Tie, add_prior
from ..registration.tiles import tiled_fit
from ..rendering.devices import run_tasks
from .bodies import BodyResult
from .metrics import MOST_MM
from .prediction import WRONG_MM
from .uncertainty import TargetUncertainty, sandwich, target_jacobians
from .verdict import Assessment

if TYPE_CHECKING:  # of a whole CT nothing registers bones
    from ..registration.register_bones import BonesRegistration

#: Angles that are tried, in degrees: the detector goes from the patient's right over the front to
#: the left, and up to 30 degrees towards head or feet.
PRIMARY_DEG = tuple(range(-90, 91, 15))
SECONDARY_DEG = (-30, -15, 0, 15, 30)
#: A view nearer to one that there is, or to its opposite, is no other.
OTHER_DEG = 15.0
#: The world's origin is a C-arm's isocentre if all central rays pass it as near as this.
ISOCENTRE_MM = 20.0
#: A view is worth proposing if it leaves so much of the error, and that may be so large; of bones,
#: if what is likely is so large a share of what is accepted.
WORTH = 0.75
LEAST_MM = WRONG_MM / 2
LEAST_SHARE = 0.25


@dataclass(frozen=True)
class FurtherView:
    """A view that could be taken.

    Attributes
    ----------
    rao_lao_deg, cra_cau_deg
        Where the detector is, as of `CArm`.
    error_mm
        The expected error of the targets with it.
    """

    rao_lao_deg: float
    cra_cau_deg: float
    error_mm: float

    @property
    def words(self) -> str:
        """The angles, as "LAO 45°"."""
        primary = angle(self.rao_lao_deg, "LAO", "RAO") if self.rao_lao_deg else "AP"
        if not self.cra_cau_deg:
            return primary
        return f"{primary}, {angle(self.cra_cau_deg, 'CRA', 'CAU')}"


@dataclass(frozen=True)
class Plan:
    """Predicted errors with one further view each.

    Attributes
    ----------
    error_mm
        The error of the targets that noise and cameras explain with the views that there are.
    views
        Further ones, the best first.
    patient_axes
        Whether angles are about the CT's axes; else about the world's, as a C-arm shows them.
    """

    error_mm: float
    views: list[FurtherView]
    patient_axes: bool

    @property
    def sentence(self) -> str:
        """The prediction for the best further view."""
        if not self.views:
            return "No further view shows the anatomy."
        best = self.views[0]
        axes = " (by the axes of the CT)" if self.patient_axes else ""
        return (
            f"A further view near {best.words}{axes} would {_lower(best.error_mm / self.error_mm)} "
            f"the error that noise and cameras explain, from {self.error_mm:.2g} to "
            f"{best.error_mm:.2g} mm."
        )

    @property
    def reasons(self) -> list[Reason]:
        """The best further view as a reason, if it is worth it."""
        if not self.views or self.views[0].error_mm > WORTH * self.error_mm:
            return []
        return [Reason("further-view", self.sentence, self.views[0].words)]

    def to_json(self) -> dict:
        """Return it as `mvreg plan --json` prints it."""
        return {**asdict(self), "sentence": self.sentence}


def plan_view(
    anatomy: PreparedCT,
    views: Sequence[View],
    world_from_ct: np.ndarray,
    targets: np.ndarray,
    shared: SharedUnknowns = CALIBRATED,
) -> Plan:
    """Find the further views that would lower the error of a registered pose most.

    Parameters
    ----------
    views
        As registered.
    world_from_ct
        (4, 4) the registered pose.
    targets
        (N, 3) CT mm.
    shared
        What is unknown and the same in all views, the further one included.

    Raises
    ------
    InputError
        For slot scans, which are no C-arm's.
    """
    alone = uncalibrated_view_indices(views, shared)
    tied = [view.presumed for i, view in enumerate(views) if i not in alone]
    if any(view.camera.is_slot_scan for view in tied):
        raise InputError(
            "plan: the views are slot scans, expected those of a C-arm, which can be turned to "
            "another angle; take X-rays by a C-arm for another view."
        )
    points = rigid.transform_points(world_from_ct, targets)
    level = anatomy.levels(tied, world_from_ct)[-2]
    finer = replace(level, pool=1)
    objective = anatomy.objective(tied, level, world_from_ct)
    here = tiled_fit(objective, world_from_ct, intrinsics=True)
    gradients = here.split.gradients[:, :6]
    known = here.fit.hessian[:6, :6] * here.pixels
    (plan,) = _plans(
        [(points, target_jacobians(points, objective.pivot))],
        _Turner(tied, world_from_ct, points.mean(axis=0)),
        shared,
        objective,
        lambda view: anatomy.objective([view], finer, world_from_ct),
        world_from_ct[None],
        sandwich(known, gradients.T @ gradients),
    )
    return plan


def _plans(
    asked: Sequence[tuple[np.ndarray, np.ndarray]],
    turner: _Turner,
    shared: SharedUnknowns,
    objective: Comparison,
    objective_of: Callable[[View], Comparison],
    poses: np.ndarray,
    noise: np.ndarray,
    ties: Sequence[Tie] = (),
) -> list[Plan]:
    """Return the plan for each of those that are asked for.

    Parameters
    ----------
    asked
        Points (N, 3), world mm, and how they move by the poses, (N, 3, 6 B).
    objective, objective_of
        Of the views that there are, and of a further one alone, pooled alike.
    poses
        (B, 4, 4) of the bodies.
    noise
        (6 B, 6 B), the covariance of these that noise explains with the views that there are.
    ties
        As of `problem.Problem`.
    """
    tied = turner.views
    sds: dict[str, Any] = {
        key: max(getattr(view, key) or 0.0 for view in tied) for key in UNCERTAINTY
    }
    n = len(noise)
    pivots = objective.pivots(poses)
    pool = round(tied[0].camera.focal_px / objective.views[0].camera.focal_px)
    found: dict[tuple[float, float], list[float]] = {}

    def hessians_of(there: Comparison) -> list[np.ndarray]:
        fit = there.evaluate(EvaluationPoint(poses, intrinsics=True)).linearise()
        return [hessian * sum(fit.pixels) for _, hessian in fit.by_view]

    here = [*zip(tied, objective.views, hessians_of(objective), strict=True)]
    own = np.kron(np.eye(len(pivots)), np.eye(9, 6))
    known = own.T @ sum(hessian for *_, hessian in here) @ own
    ratio = np.trace(known @ noise) / np.linalg.matrix_rank(known)

    def errors_mm(seen: Sequence[tuple[View, View, np.ndarray]]) -> list[float]:
        views, pooled, hessians = zip(*seen, strict=True)
        unknowns = CameraCorrections(views, shared)
        ways = unknowns.jacobians(pooled, pivots, len(own), considered=True)
        both = zip(ways, hessians, strict=True)
        information = sum(way.T @ each @ way / ratio for way, each in both)
        add_prior(ties, poses, pivots, 1.0, np.zeros(len(information)), information)
        sd = unknowns.sd[np.concatenate([unknowns.free, unknowns.considered])]
        information[n:, n:] += np.diag(sd**-2.0)
        covariance = sandwich(information, information)[:n, :n]
        return [TargetUncertainty(*each, covariance).mean_mm for each in asked]

    def ask(primary: int, secondary: int) -> None:
        camera = turner.camera(primary, secondary)
        pooled = camera.pooled(pool)
        shape = pooled.size[::-1]
        blank = XRay(np.zeros(shape, np.float32), np.ones(shape, bool), tied[0].xray.pixel_mm)
        further = View("further", blank, pooled)
        (hessian,) = hessians_of(objective_of(further))
        if hessian.any():
            view = replace(tied[0], camera=camera, **sds)
            found[float(primary), float(secondary)] = errors_mm([*here, (view, further, hessian)])

    run_tasks([partial(ask, *angles) for angles in turner.others()])
    plans = []
    for k, error_mm in enumerate(errors_mm(here)):
        views = [FurtherView(*at, errors[k]) for at, errors in found.items()]
        views.sort(key=lambda one: (one.error_mm, one.rao_lao_deg, one.cra_cau_deg))
        plans.append(Plan(error_mm, views, turner.patient_axes))
    return plans


def with_further_view(
    assessment: Assessment,
    anatomy: PreparedCT,
    views: Sequence[View],
    world_from_ct: np.ndarray,
    shared: SharedUnknowns = CALIBRATED,
) -> Assessment:
    """Return the assessment of a pose in doubt with the further view that would lower its error most.

    Nothing is said where noise and cameras explain little of the doubt, nor of a pose that is most
    likely wrong, nor where another reason proposes a view. Parameters as of `plan_view`.
    """
    features = assessment.features
    targets = assessment.targets
    if assessment.room != "check" or features is None or targets is None:
        return assessment
    at = features.total_uncertainty.at(rigid.transform_points(world_from_ct, targets))
    if at.bound_mm() < LEAST_MM or _settled(assessment, views):
        return assessment
    plan = plan_view(anatomy, views, world_from_ct, targets, shared)
    return replace(assessment, reasons=[*assessment.reasons, *plan.reasons])


def with_further_views(
    bodies: Sequence[BodyResult],
    found: BonesRegistration,
    views: Sequence[View],
    whole: Assessment,
) -> list[BodyResult]:
    """Return bodies, those in doubt with the further view that would lower most how far they are off.

    In the room, or against the nearest neighbour where that is what the poses are for; by what the
    X-rays tell of all of them.

    Parameters
    ----------
    found
        How they were registered.
    views
        With corrected cameras.
    whole
        The assessment of the CT.
    """
    planned = list(bodies)
    if _settled(whole, views) or whole.features is None:
        return planned
    uses: dict[int, Use] = {}
    for n, body in enumerate(planned):
        use: Use = "relative" if body.judged_use == "relative" else "room"
        error = body.errors[use]
        unsure = error and error.typical_mm >= LEAST_SHARE * MOST_MM[use]
        if unsure and getattr(body, use) == "check":
            uses[n] = use
    if uses:
        plans = plan_bones(uses, found, views, whole.features.unknowns.shared)
        for n, plan in zip(uses, plans, strict=True):
            body = planned[n]
            planned[n] = replace(body, plan=plan, reasons=[*body.reasons, *plan.reasons])
    return planned


def plan_bones(
    uses: Mapping[int, Use],
    found: BonesRegistration,
    views: Sequence[View],
    shared: SharedUnknowns,
) -> list[Plan]:
    """Return the plan for each of these bones by what its pose is for; further parameters as of `with_further_views`."""
    from ..registration.register_bones import LEVELS, objective_at
    from .bone_errors import noise_share
    from .bone_prediction import bone_noises

    objective = found.objectives[0]
    pivots = objective.pivots(found.poses)
    asked = []
    for n, use in uses.items():
        points = rigid.transform_points(found.poses[n], found.bones[n].surface)
        ways = np.zeros((len(pivots), len(points), 3, 6))
        ways[n] = target_jacobians(points, pivots[n])
        if use == "relative" and found.ties:
            other = next(t.one + t.other - n for t in found.ties if n in t[:2])
            ways[other] = -target_jacobians(points, pivots[other])
        asked.append((points, np.concatenate(ways, axis=-1)))
    apart = found.bones[found.apart], found.poses[found.apart]
    finer = LEVELS[0]._replace(coarseness=1)
    return _plans(
        asked,
        _Turner([view.presumed for view in views], found.world_from_ct, pivots.mean(axis=0)),
        shared,
        objective,
        lambda view: objective_at(found.behind, [view], finer, *apart),
        np.array(found.poses),
        noise_share(found, bone_noises(found)),
        found.ties,
    )


def _settled(assessment: Assessment, views: Sequence[View]) -> bool:
    """Return whether something else settles the doubt, or no view can be proposed."""
    codes = map(code_of, assessment.reasons)
    unstated = len(views) == 2 and "principal-point-unstated" in codes
    return (
        unstated or assessment.cause is not None or any(view.camera.is_slot_scan for view in views)
    )


class _Turner:
    """A C-arm that goes to other angles, with the first view's distances and detector.

    Parameters
    ----------
    views
        Those that there are.
    world_from_ct
        (4, 4).
    middle
        (3,) world mm, about which the cameras turn whose world is no C-arm's.
    """

    def __init__(
        self, views: Sequence[View], world_from_ct: np.ndarray, middle: np.ndarray
    ) -> None:
        self.views = views
        self.patient_axes = not all(map(_about_isocentre, views))
        self._middle = middle
        self._beams = np.array([view.camera.camera_from_world[2, :3] for view in views])
        self._axes = world_from_ct[:3, :3] if self.patient_axes else np.eye(3)

    def others(self) -> list[tuple[int, int]]:
        """Return the angles of views that there are not."""
        limit = np.cos(np.radians(OTHER_DEG - 1e-6))
        every = [(primary, secondary) for primary in PRIMARY_DEG for secondary in SECONDARY_DEG]
        return [each for each in every if np.abs(self._beams @ self._beam(*each)).max() < limit]

    def camera(self, primary_deg: float, secondary_deg: float) -> Camera:
        """Return the camera at these angles."""
        first = self.views[0]
        if not self.patient_axes and first.c_arm:
            turned = replace(first.c_arm, rao_lao_deg=primary_deg, cra_cau_deg=secondary_deg)
            return turned.camera()
        now = self._beams[0]
        then = self._beam(primary_deg, secondary_deg)
        axis = np.cross(now, then)
        sine = np.linalg.norm(axis)
        turn = rigid.exp_so3(axis / sine * np.arctan2(sine, now @ then))
        moved = rigid.about(self._middle, rigid.from_rotation_translation(turn.T, np.zeros(3)))
        there = first.camera.camera_from_world @ moved
        return replace(first.camera, camera_from_world=there)

    def _beam(self, primary_deg: float, secondary_deg: float) -> np.ndarray:
        """Return the direction (3,) in which the source sees, world."""
        return self._axes @ rotation(primary_deg, secondary_deg)[:, 2]


def _about_isocentre(view: View) -> bool:
    arm = view.c_arm
    return arm is not None and bool(np.abs(arm.isocentre_offset_mm).max() < ISOCENTRE_MM)


def _lower(share: float) -> str:
    """Return what happens to an error of which this share is left."""
    if share < 0.4:
        return "more than halve"
    return "halve" if share < 0.6 else "lower"
