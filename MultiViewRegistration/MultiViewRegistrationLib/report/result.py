"""The result of a registration as data; `result_page` writes its files (docs/frames.md)."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..assessment import metrics
from ..assessment.bodies import BodyResult, JointResult
from ..assessment.checks import ambiguity
from ..assessment.features import Tile
from ..assessment.records import NOTE, Assessment, Finding
from ..geometry import rigid
from ..geometry.camera import Camera
from ..imaging.body import Body
from ..imaging.xray import View, XRay
from ..io.case import Case
from ..io.case_file import new_uid
from ..io.files import plain
from ..io.result_json import (
    REJECTED,
    VERSION,
    AssessedPose,
    all_edges_match,
    assessment_json,
    body_json,
    edge_findings,
    edge_keys,
    finding_json,
    predicted_tre_json,
)
from ..registration.cameras import uncalibrated_view_indices
from ..registration.optimizer import Range, Refinement
from ..registration.prepared_ct import PreparedCT
from ..registration.similarity import MIN_PIXELS
from ..rendering.devices import ComputeDevice, available_threads
from . import messages
from .html import PICTURE, notebook_card, png
from .overlays import NOWHERE, DRRs, decisive_box, mask_excluding_outliers, overlays

if TYPE_CHECKING:
    from ..geometry.landmarks import LandmarkFit
    from ..regressor.initialise import RegressorReport

#: An assumption about a CT `PreparedCT.ending_in_air`.
CT_END_IS_BODYS = "The body ends with the CT, as the X-rays show air beyond its end"


@dataclass(frozen=True, eq=False, repr=False)
class Result(AssessedPose):
    """A registered pose with its origin and its assessment.

    Attributes
    ----------
    case, anatomy
        What was registered.
    start_world_from_ct
        (4, 4) pose at which the refinement started.
    refinement
        Registered pose, and the views with corrected cameras.
    method
        Origin of the start, or of the pose if it was not refined.
    seconds
        Of "load", "initialise", "refine", "assess", "total", and "train" for a training.
    landmark_fit
        Of a start from landmarks.
    refined_by
        Name of the refinement, see `finding.refinement_method`; None for a pose that was only assessed.
    torch_device
        Device of a published refinement.
    regressor
        The regressor's proposals; None without a regressor.
    assessment
        None for a pose of a published refinement.
    compute_device
        Device of the joint refinement.
    together
        What was registered together, each at its own pose: the case's bones; nothing of a case
        without, and of a refinement that has none.
    world_uid
        FrameOfReferenceUID of the X-rays' world in DICOM objects.
    digest
        SHA-256 of all that decided it: files, options and version; None where nobody said them.
    edge_checks
        Edge checks by the user, see `with_edge_checks`.
    reach
        Range of the search; None without a search, or for a search of the whole CT.
    """

    case: Case
    anatomy: PreparedCT
    start_world_from_ct: np.ndarray
    refinement: Refinement
    method: str
    seconds: dict[str, float]
    landmark_fit: LandmarkFit | None = None
    refined_by: str | None = "joint"
    torch_device: str | None = None
    regressor: RegressorReport | None = None
    assessment: Assessment | None = None
    compute_device: ComputeDevice = field(default_factory=ComputeDevice)
    together: JointResult = field(default_factory=JointResult)
    world_uid: str = field(default_factory=new_uid)
    digest: str | None = None
    edge_checks: Mapping[str, bool] = field(default_factory=dict)
    reach: Range | None = None

    @property
    def world_from_ct(self) -> np.ndarray:
        """(4, 4): CT LPS mm to world LPS mm."""
        return self.refinement.world_from_ct

    @property
    def views(self) -> list[View]:
        """The case's views with corrected cameras."""
        return self.refinement.views

    @property
    def errors(self) -> metrics.Errors | None:
        """Against the case's truth, if it has one."""
        return self.errors_at(self.world_from_ct, self.views)

    @property
    def start_errors(self) -> metrics.Errors | None:
        """Fit of the start, with the cameras as given; None where nothing was refined."""
        return self.errors_at(self.start_world_from_ct, self.case.views) if self.refined else None

    @property
    def refined(self) -> bool:
        """Whether there is a start to compare the pose with."""
        return self.refined_by is not None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Findings on the pose, and notes on the case and how it was registered."""
        return (*super().findings, *self.notes)

    @property
    def reasons(self) -> list[str]:
        """The message about each finding."""
        return messages.sentences(self.findings)

    @property
    def notes(self) -> list[Finding]:
        """Notes on the case, and on how it was registered."""
        case = self.case
        notes = []
        if not self.refined:
            notes.append(Finding("not-refined", NOTE, values={"method": self.method}))
        notes += [*([] if self.assessment else case.identity_findings), *case.identity_notes]
        if len(case.views) > 1 and case.relative_geometry == "truth":
            notes.append(Finding("geometry-from-truth", NOTE))
        if case.bone_names and not self.together.bodies:
            body = case.first_bone or "the whole CT"
            notes.append(Finding("bones-not-registered", NOTE, values={"body": body}))
        if not self.assessment:
            for i in uncalibrated_view_indices(case.views, case.shared_unknowns):
                notes.append(Finding("geometry-unknown", NOTE, views=(case.views[i].name,)))
        for view, shown in zip(case.views, self.refinement.fit.shown, strict=True):
            if shown < MIN_PIXELS:
                notes.append(Finding("view-not-used", NOTE, views=(view.name,)))
        if self.verdict != "accept":
            has_rival = self.assessment and self.assessment.has("no-unique-solution")
            if (rival := self.refinement.alternative) and not has_rival:
                ratio = rival.evidence_ratio
                notes += ambiguity(ratio, rival.distance_mm, rival.rotation_deg)
            if rim := self.refinement.rim:
                notes.append(Finding("range-too-small", NOTE, values={"rim": rim}))
        if self.assumed:
            values = {"assumptions": self.assumed_in_words.rstrip(".")}
            notes.append(Finding("assumed", NOTE, values=values))
        return notes

    @property
    def assumed_in_words(self) -> str:
        """All that is `assumed`, a sentence."""
        said = (f"{names}: {'; '.join(sentences)}" for names, sentences in self.assumed.items())
        return f"{'; '.join(said)}."

    @property
    def assumed(self) -> dict[str, list[str]]:
        """What was assumed of X-rays, sentences without a full stop, by the names of the X-rays that share them."""
        of_sentence: dict[str, list[str]] = {}
        for name, sentences in self.case.assumptions.items():
            for sentence in sentences:
                of_sentence.setdefault(sentence.rstrip("."), []).append(name)
        if self.anatomy.ends_in_air:
            of_sentence[CT_END_IS_BODYS] = [view.name for view in self.case.views]
        of_names: dict[str, list[str]] = {}
        for sentence, names in of_sentence.items():
            of_names.setdefault(", ".join(names), []).append(sentence)
        return of_names

    @cached_property
    def view_states(self) -> dict[str, str]:
        """See `Assessment.view_states`; of none without an assessment."""
        names = [view.name for view in self.views]
        return self.assessment.view_states(names) if self.assessment else {}

    def with_edge_checks(self, checks: Mapping[str, bool]) -> Result:
        """Return the result with edge checks by the user.

        Parameters
        ----------
        checks
            Whether bone edges lie on the outline, by view ("AP") or by bone and view ("L1/AP").
            With a False the verdict is at best "check".
        """
        bodies = []
        for body in self.together.bodies:
            all_match = all_edges_match(checks, edge_keys(body.name, body.similarity))
            assessment = body.assessment
            if assessment:
                assessment = assessment.with_findings(edge_findings(checks, body.name))
            is_checked = all_match and body.verdict == "check"
            bodies.append(replace(body, checked=is_checked, assessment=assessment))
        assessment = self.assessment
        if assessment:
            assessment = assessment.with_findings(edge_findings(checks))
        together = replace(self.together, bodies=bodies)
        return replace(self, edge_checks=checks, assessment=assessment, together=together)

    @property
    def checked(self) -> bool:
        """Whether the verdict is "check" and the user confirmed all edges that are to be checked."""
        views = [view.name for view in self.views]
        keys = self.edges_to_check(views, has_separate_cts=bool(self.case.first_bone))
        return self.verdict == "check" and all_edges_match(self.edge_checks, keys)

    @property
    def bones(self) -> dict[str, BodyResult]:
        """What was registered together, by name."""
        return self.together.by_name

    @property
    def summary(self) -> str:
        """Verdicts, expected errors and risk as sentences; "" without an assessment."""
        return messages.summary(self.assessment) if self.assessment else ""

    @property
    def predicted_tre_mm(self) -> dict[str, float] | None:
        """Expected error of the 3D position: "typical", and "upper95" if known; None if unknown."""
        return predicted_tre_json(self.assessment)

    @property
    def bodies(self) -> dict[str, BodyResult]:
        """Results by name of the body.

        A single CT has one entry for the whole CT, by the title of the body, and one for each bone;
        bones with separate CTs have one entry each.
        """
        results = {body.name: self._with_truth(body) for body in self.together.bodies}
        reference = self.case.bodies[0].title
        if reference in results:
            return results
        assessment = self.together.whole or self.assessment
        by_view = zip(self.views, self.refinement.fit.similarity, strict=True)
        similarity = {view.name: float(ncc) for view, ncc in by_view if np.isfinite(ncc)}
        whole = BodyResult(reference, self.world_from_ct, assessment, similarity)
        return {reference: whole, **results}

    def drawn(
        self, world_from_ct: np.ndarray, bodies: Sequence[Body | BodyResult]
    ) -> tuple[PreparedCT, np.ndarray]:
        """Return the first body at a pose (4, 4), and these where they lie, to be drawn as one CT, see `placed`."""
        first = self.case.first_bone
        places = {body.name: body.world_from_ct for body in bodies}
        if not places.keys() - {first}:
            return self.anatomy, world_from_ct
        from ..registration.bone import parts_of, placed

        places[first] = world_from_ct
        return placed(parts_of(self.case.bodies, self.anatomy, places), places)

    def _with_truth(self, body: BodyResult) -> BodyResult:
        truth = self.case.structure_truths.get(body.name)
        if truth is None or body.bone is None:
            return body
        mtre_mm = metrics.mtre(body.world_from_ct, truth, body.bone.surface)
        return replace(body, mtre_mm=mtre_mm)

    @property
    def device(self) -> str:
        """The device of the registration."""
        return (
            f"{processor()}, PyTorch on {self.torch_device}"
            if self.torch_device
            else self.compute_device.describe(processor())
        )

    def similarity(self, world_from_ct: np.ndarray) -> tuple[float, ...]:
        """Local NCC of each view at a pose (4, 4), as at the last level of the refinement."""
        rest = self.refinement.world_from_background
        if rest is None:
            return self.anatomy.fit(self.case.views, world_from_ct, world_from_ct).similarity
        from ..registration.register_bones import similarity_at

        return similarity_at(self.anatomy, self.case.views, world_from_ct, rest)

    @property
    def suggested_masks(self) -> dict[str, np.ndarray]:
        """Masks without the outliers, bool (rows, columns), True = use, by the name of each view that has outliers."""
        masks = {}
        for name, (xray, tiles) in self.assessed_views.items():
            kept = mask_excluding_outliers(xray, tiles)
            if kept.any() and (kept != xray.valid).any():
                masks[name] = kept
        return masks

    @cached_property
    def decisive(self) -> dict[str, list[list[int]]]:
        """The pixels (2, 2) of each assessed X-ray, the lowest and the highest, between which its edges decide, see `decisive_box`."""
        cameras = {view.name: view.camera for view in self.views}
        found = {}
        for name, (xray, tiles) in self.assessed_views.items():
            if tiles:
                box = decisive_box(xray, tiles, self._edges_in(tiles, cameras[name]))
                found[name] = box.astype(int).tolist()
        return found

    def _edges_in(self, tiles: list[Tile], camera: Camera) -> np.ndarray:
        """Return how much of edges of bone each of the tiles has."""
        factor = -(-max(camera.size) // EDGES_PX)
        drr = self.anatomy.drr(camera.pooled(factor), self.world_from_ct, bones=True)
        slope = np.hypot(*np.gradient(np.nan_to_num(drr)))
        found = []
        for tile in tiles:
            row, column, side = np.array(tile[:3]) // factor
            found.append(slope[row : row + side, column : column + side].sum())
        return np.array(found)

    def __repr__(self) -> str:
        mtre = f", mTRE {self.errors.mtre_mm:.3g} mm" if self.errors else ""
        return f"Result({self.case.name!r}: {self.verdict or 'not assessed'}{mtre}; {self.summary or self.method})"

    def _repr_html_(self) -> str:
        """For a notebook: the verdict with its reasons, the error, and the CT's outlines over each X-ray."""
        outlines = {}
        anatomy, pose = self.drawn(self.world_from_ct, self.together.usable)
        for view in self.views:
            drrs = DRRs.of(anatomy, view.camera, pose)
            (drawn,) = overlays(view.xray, [drrs], PICTURE, self.tested_in(view))
            outlines[view.name] = png(drawn["edges"])
        return notebook_card(self, outlines)

    def withheld(self, override: str | None = None) -> str | None:
        """Return why `save_result` writes no transforms but those of bones that are not rejected, a sentence; None where it does."""
        if override or self.verdict != "reject":
            return None
        written = ", ".join(body.name for body in self.together.usable)
        return (
            f"{REJECTED} Its transforms were not written{written and f', only those of {written}'}."
        )

    def to_json(self, override: str | None = None) -> dict[str, Any]:
        """Return the content of result.json, but for "files".

        Parameters
        ----------
        override
            See `result_page.save_result`.
        """
        case = self.case
        together = self.together
        rival = self.refinement.alternative
        fit = self.refinement.fit
        of_views: dict[str, dict[str, Any]]
        of_views = {"state": self.view_states, "decisive_px": self.decisive}
        views = []
        for given, view, similarity in zip(case.views, self.views, fit.similarity, strict=True):
            entry = {
                "name": view.name,
                "similarity": similarity,
                **{key: of[view.name] for key, of in of_views.items() if view.name in of},
                **view.taken,
                **_camera(given.camera, view.camera),
                **_origin(case, view),
            }
            views.append(entry)
        content: dict[str, Any] = {
            "version": VERSION,
            "world_from_ct": self.world_from_ct,
            **assessment_json(self.assessment),
            "findings": [finding_json(finding) for finding in self.findings],
            "reasons": self.reasons,
            "summary": self.summary,
            "override": override,
            "withheld": self.withheld(override),
            "predicted_tre_mm": self.predicted_tre_mm,
            "uncertainty": self._uncertainty(),
            "diagnosis": self._diagnosis(),
            "frame_of_reference_uid": {"world": self.world_uid, "ct": case.bodies[0].uid},
            "reference_from_world": case.reference_from_world,
            "views": views,
            "bodies": {name: _body_json(body) for name, body in self.bodies.items()},
            "motions": together.motions if together.bodies else None,
            "relative_poses": together.relative_poses or None,
            "relative_geometry": case.relative_geometry,
            "errors": self._errors_json(),
            "start": self._start(),
            "regressor": self.regressor,
            "alternative": rival
            and {
                "evidence_ratio": rival.evidence_ratio,
                "distance_mm": rival.distance_mm,
                "rotation_deg": rival.rotation_deg,
                "world_from_ct": rival.world_from_ct,
            },
            "background": self._background(),
            "refinement": self.refined_by,
            "seconds": self.seconds,
            "software": {**software(self.compute_device), "device": self.device},
            "inputs": case.inputs,
            "digest": self.digest,
            "case": {"file": case.path.name if case.path else None, "images": case.images},
            "same_patient": case.same_patient or None,
            "edge_checks": self.edge_checks or None,
        }
        if self.checked and not self.bones_are_displaced:  # the whole CT was not inspected
            content["checked"] = True
        if case.dicom.reference_uid:
            content["frame_of_reference_uid"]["reference"] = case.dicom.reference_uid
        optional = (
            "override",
            "withheld",
            "reference_from_world",
            "errors",
            "motions",
            "relative_poses",
            "digest",
            "same_patient",
            "edge_checks",
        )
        present = {
            key: value for key, value in content.items() if value is not None or key not in optional
        }
        return plain(present)

    def _uncertainty(self) -> dict[str, Any] | None:
        evidence = self.assessment.evidence if self.assessment else None
        if self.assessment is None or evidence is None:
            return None
        degrees, axis = evidence.least_certain_rotation
        risk = evidence.risk
        splits = evidence.splits if self.assessment.bound_is_known else []
        return {
            "image_failure_probability": risk.image_failure if risk.is_familiar else None,
            "camera_mm": evidence.features.camera_mm,
            "noise_mm": evidence.features.noise_mm,
            "views": [split._asdict() for split in splits],
            "least_certain_rotation": {"degrees": degrees, "axis": axis},
        }

    def _diagnosis(self) -> dict[str, Any] | None:
        cause = self.assessment.cause if self.assessment else None
        if cause is None:
            return None
        return {
            "cause": cause.cause,
            "code": cause.code,
            "views": cause.views,
            "evidence_gain": cause.gain,
            "clear": cause.is_clear,
            "similarity": cause.similarity,
            "world_from_ct": cause.world_from_ct,
            "moved_mm": cause.moved_mm,
        }

    def _start(self) -> dict:
        content = {
            "method": self.method,
            "candidates": self.refinement.candidates,
            "refined": self.refinement.refined,
            "world_from_ct": self.start_world_from_ct,
        }
        if self.reach:
            content["range"] = vars(self.reach)
        if self.landmark_fit:
            content["landmarks"] = self.landmark_fit.residuals
        return content

    def _background(self) -> dict | None:
        """Return the pose of the rest of a structure's CT, and how far the structure lies from there."""
        world_from_background = self.refinement.world_from_background
        if world_from_background is None:
            return None
        mm, degrees = rigid.pose_difference(
            self.world_from_ct, world_from_background, self.anatomy.centroid
        )
        return {"world_from_ct": world_from_background, "distance_mm": mm, "rotation_deg": degrees}

    def tested_in(self, view: View) -> np.ndarray:
        """Return the points (N, 2), pixels of a view, at which displaced bone would be visible."""
        if self.assessment is None:
            return NOWHERE
        tested = self.assessment.tested
        points = tested.points_mm[tested.overlay_in_place]
        return view.camera.project(rigid.transform_points(self.world_from_ct, points))

    @property
    def assessed_views(self) -> dict[str, tuple[XRay, list[Tile]]]:
        """X-ray and compared tiles of each view that was assessed, by its name."""
        evidence = self.assessment.evidence if self.assessment else None
        if evidence is None:
            return {}
        xrays = {view.name: view.xray for view in self.views}
        features = evidence.features
        splits = evidence.splits
        return {
            split.name: (xrays[split.name], features.tiles(nth)) for nth, split in enumerate(splits)
        }

    def errors_at(self, world_from_ct: np.ndarray, views: list[View]) -> metrics.Errors | None:
        """Return the errors of a pose (4, 4) seen by these cameras, against the case's truth.

        None without one.
        """
        truth = self.case.truth_world_from_ct
        if truth is None or self.error_points is None:
            return None
        cameras = [view.camera for view in views]
        pixels_mm = [view.xray.pixel_mm for view in views]
        return metrics.errors(cameras, world_from_ct, truth, self.error_points.points, pixels_mm)

    def _errors_json(self) -> dict[str, Any] | None:
        if self.errors is None or self.error_points is None:
            return None
        return asdict(self.errors) | {"points": self.error_points.kind}

    @cached_property
    def error_points(self) -> metrics.TargetPoints | None:
        """The points at which `errors` are measured; None without a truth."""
        case = self.case
        truth = case.truth_world_from_ct
        if truth is None:
            return None
        return metrics.target_points(self.anatomy, case.views, truth, case.targets)


#: Pixels of the longer side of a picture that is coarse, and shows where bone has edges.
EDGES_PX = 160


def _body_json(body: BodyResult) -> dict[str, Any]:
    findings = body.assessment.findings if body.assessment else ()
    return {**body_json(body), "reasons": messages.sentences(findings)}


def _camera(given: Camera, corrected: Camera) -> dict[str, list]:
    """Return a view's camera in result.json, with the given one where it was corrected."""
    content = {"camera_from_world": corrected.camera_from_world.tolist()}
    for key in ("camera_from_world", "intrinsics"):
        before = getattr(given, key).tolist()
        after = getattr(corrected, key).tolist()
        if before != after:
            content |= {key: after, f"given_{key}": before}
    return content


def _origin(case: Case, view: View) -> dict[str, Any]:
    """Return the UIDs of a view's image, if it is DICOM."""
    image = case.dicom.views.get(view.name)
    return {"dicom": image} if image else {}


def software(compute_device: ComputeDevice) -> dict[str, str]:
    """Version and device of a registration, and why it fell back to the processor, for result.json."""
    told = {"version": __version__, "device": compute_device.describe(processor())}
    fallback = compute_device.fallback_message
    return told | {"fallback_reason": fallback} if fallback else told


def processor() -> str:
    """Return the name of the processor."""
    return f"CPU, {available_threads()} threads, {platform.machine()}"
