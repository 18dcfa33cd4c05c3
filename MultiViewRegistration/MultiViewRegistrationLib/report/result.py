"""A registration's result, and the files that tell it (docs/frames.md)."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from .. import __version__
from ..assessment import metrics
from ..assessment.verdict import AMBIGUOUS_GAP, Assessment
from ..geometry.camera import Camera
from ..geometry.landmarks import LandmarkFit
from ..imaging.view import View
from ..io.case import Case
from ..io.dicom_identity import new_uid
from ..io.files import write_atomically
from ..io.transforms import write_slicer_transform, write_transform
from ..registration.apart import untied
from ..registration.devices import Workplace
from ..registration.objective import FEWEST_PIXELS
from ..registration.pipeline import Anatomy, Refinement, away
from ..regressor.initialise import RegressorReport
from ..rendering import threads
from .case_report import CaseReport, Level, ViewReport, correction, summarise
from .overlays import picture_files, png
from .report import report
from .tile_map import tile_map, without_unlike

VERSION = 1

#: Said of a result whose views were tied together by what is true of them.
LEAKS = (
    "The geometry of the views relative to each other comes from the true poses (relative_geometry of the case), so that the error is "
    "smaller than it could be without the truth."
)


@dataclass(frozen=True, eq=False)
class Result:
    """The pose that was found, from which start, and how long it took.

    start_world_from_ct: (4, 4).   method: how the start was found, or the pose, where nothing was refined.
    seconds: of "load", "initialise", "refine", "assess" and in "total".
    landmark_fit: of a start from landmarks.
    refined_by: name of the refinement, see `refinements`; None where nothing was refined, see `api.assess`.
    torch_device: on which it ran, if it was one by torch.
    started: what a regressor said, and which of its poses won; None where none was asked for.
    assessment: how far it can be trusted; None where that was not measured: for a pose by a published refinement.
    place: where the joint refinement worked.
    world_uid: by which DICOM objects know the world of these X-rays.
    """

    case: Case
    anatomy: Anatomy
    start_world_from_ct: np.ndarray
    refinement: Refinement
    method: str
    seconds: dict[str, float]
    landmark_fit: LandmarkFit | None = None
    refined_by: str | None = "joint"
    torch_device: str | None = None
    started: RegressorReport | None = None
    assessment: Assessment | None = None
    place: Workplace = field(default_factory=Workplace)
    world_uid: str = field(default_factory=new_uid)

    @property
    def world_from_ct(self) -> np.ndarray:
        """(4, 4): CT LPS mm to world LPS mm."""
        return self.refinement.world_from_ct

    @property
    def errors(self) -> metrics.Errors | None:
        """Against the case's truth, where it has one."""
        return self._errors(self.world_from_ct, self.views)

    @property
    def views(self) -> list[View]:
        """The case's views, with their cameras as they were corrected."""
        return self.refinement.views

    @property
    def reasons(self) -> list[str]:
        """What a person must know before trusting the pose, a sentence each."""
        fit, rival = self.refinement.fit, self.refinement.rival
        told = []
        if self.refined_by is None:
            told.append(f"Nothing was refined: the pose is as it was given ({self.method}).")
        if len(self.case.views) > 1 and self.case.relative_geometry == "truth":
            told.append(LEAKS)
        told += [
            f"{name}, assumed: {sentence}" for name, assumed in self.case.assumptions.items() for sentence in assumed
        ]
        alone = (
            "its camera was not corrected, and its similarity says little"
            if self.refined_by is None
            else "it was registered alone and does not support the pose; its camera is given such that the pose holds in it"
        )
        told += [
            f"{self.case.views[i].name}: its geometry is unknown, so {alone}."
            for i in untied(self.case.views, self.case.shared_unknowns)
        ]
        told += [
            f"{view.name} could not be compared: at this pose hardly anything of the CT has a true value in it; only the other views "
            "speak for the pose."
            for view, shown in zip(self.case.views, fit.shown, strict=True)
            if shown < FEWEST_PIXELS
        ]
        if rival and rival.gap < AMBIGUOUS_GAP:
            told.append(
                f"Ambiguous: another pose, {rival.distance_mm:.1f} mm and {rival.rotation_deg:.1f} degrees away, fits nearly as "
                f"well (the evidence for this one is {rival.gap:.2f} times as much)."
            )
        return [*told, *(self.assessment.reasons if self.assessment else [])]

    @property
    def verdict(self) -> str | None:
        """ "accept", "check" or "reject"; None where nothing was assessed."""
        return self.assessment.verdict if self.assessment else None

    @property
    def predicted_tre_mm(self) -> dict[str, float] | None:
        """What the mTRE stays below in 95 of 100 results, "upper95", and its "mean" in these; None where that was not measured."""
        prediction = self.assessment.prediction if self.assessment else None
        return {"mean": prediction.mean_mm, "upper95": prediction.upper95_mm} if prediction else None

    @property
    def device(self) -> str:
        """What the registration ran on."""
        return f"{device()}, PyTorch on {self.torch_device}" if self.torch_device else self.place.told(device())

    def similarity(self, world_from_ct: np.ndarray) -> tuple[float, ...]:
        """Local NCC of each view at a pose, as the last level of the refinement compares them."""
        return (
            self.anatomy.among(self.refinement.rest_at)
            .fit(self.case.views, world_from_ct, self.start_world_from_ct)
            .similarity
        )

    def to_json(self, override: str | None = None) -> dict:
        """The content of result.json.   override: see `save`."""
        case = self.case
        return {
            "version": VERSION,
            "world_from_ct": self.world_from_ct.tolist(),
            "verdict": self.verdict,
            "reasons": self.reasons,
            **({} if override is None else {"override": override}),
            "predicted_tre_mm": self.predicted_tre_mm,
            "uncertainty": self.assessment and self.assessment.to_json(),
            "diagnosis": self.assessment and self.assessment.cause and self.assessment.cause.to_json(),
            "frame_of_reference_uid": {
                "world": self.world_uid,
                "ct": case.dicom.ct_uid,
                **({"reference": case.dicom.reference_uid} if case.dicom.reference_uid else {}),
            },
            **(
                {}
                if case.reference_from_world is None
                else {"reference_from_world": case.reference_from_world.tolist()}
            ),
            "views": [
                {
                    "name": view.name,
                    "similarity": similarity,
                    **_camera(given.camera, view.camera),
                    **_origin(case, view),
                }
                for given, view, similarity in zip(case.views, self.views, self.refinement.fit.similarity, strict=True)
            ],
            "relative_geometry": case.relative_geometry,
            **({"errors": asdict(self.errors)} if self.errors else {}),
            "start": {
                "method": self.method,
                "candidates": self.refinement.candidates,
                "refined": self.refinement.refined,
                **({"range": self.case.search} if self.method in ("search", "auto") else {}),
                "world_from_ct": self.start_world_from_ct.tolist(),
                **(
                    {"landmarks": [asdict(residual) for residual in self.landmark_fit.residuals]}
                    if self.landmark_fit
                    else {}
                ),
            },
            "started": self.started and self.started.to_json(),
            "next_answer": self._next_answer(),
            "rest": self._rest(),
            "refinement": self.refined_by,
            "seconds": self.seconds,
            "software": {**software(self.place), "device": self.device},
            "inputs": case.inputs,
        }

    def _next_answer(self) -> dict | None:
        rival = self.refinement.rival
        return rival and {
            "gap": rival.gap,
            "distance_mm": rival.distance_mm,
            "rotation_deg": rival.rotation_deg,
            "world_from_ct": rival.world_from_ct.tolist(),
        }

    def _rest(self) -> dict | None:
        """Where the rest of a structure's CT lies, and how far from there the structure does."""
        rest_at = self.refinement.rest_at
        if rest_at is None:
            return None
        mm, degrees = away(self.world_from_ct, rest_at, self.anatomy.centroid)
        return {"world_from_ct": rest_at.tolist(), "distance_mm": mm, "rotation_deg": degrees}

    def save(self, folder: str | Path, override: str | None = None) -> None:
        """Write result.json, the transforms, the overlays and report.html; each appears whole or not at all.

        override: a sentence on why a result that should not be used, as it was rejected or an input has changed since, is
            written all the same; all these files but the pictures carry it.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        told = replace(self.report, override=override)
        comment = None if override is None else f"Override: {override}"
        for view in told.views:
            for kind, pictures in view.pictures.items():
                for when, picture in zip(("after", "before"), reversed(pictures)):
                    write_atomically(folder / f"{view.name}_{kind}_{when}.png", picture)
        for name, kept in self.suggested_masks().items():
            write_atomically(folder / f"{name}_mask.png", png(255 * kept[..., None].astype(np.uint8)))
        write_transform(folder / "world_from_ct.tfm", self.world_from_ct, comment)
        write_slicer_transform(folder / "world_from_ct.slicer.tfm", self.world_from_ct, comment)
        write_report(folder / "report.html", [told])
        write_atomically(folder / "result.json", json.dumps(self.to_json(override), indent=1) + "\n")

    @cached_property
    def report(self) -> CaseReport:
        """What the report tells of this registration, with its pictures."""
        case, refined = self.case, self.refined_by is not None
        start_similarity = self.similarity(self.start_world_from_ct) if refined else [None] * len(case.views)
        pictures = self._pictures()
        told = self._told_of_views()
        return CaseReport(
            name=case.name,
            views=[
                ViewReport(
                    name=view.name,
                    camera=summarise(view.camera, self.views[0].camera, view.xray.pixel_mm),
                    pictures=pictures[i],
                    similarity=self.refinement.fit.similarity[i],
                    start_similarity=start_similarity[i],
                    rotation_sd_deg=view.rotation_sd_deg,
                    translation_sd_mm=view.translation_sd_mm,
                    correction=correction(given.camera, view.camera),
                    **told.get(view.name, {}),
                )
                for i, (given, view) in enumerate(zip(case.views, self.views, strict=True))
            ],
            verdict=self.verdict,
            reasons=self.reasons,
            predicted_tre_mm=self.predicted_tre_mm,
            weakest_turn=self.assessment.weakest_turn if self.assessment else None,
            world_from_ct=self.world_from_ct,
            start_world_from_ct=self.start_world_from_ct if refined else None,
            centre_ct=self.anatomy.centroid,
            method=f"{self.method}: {self.started}" if self.started else self.method,
            landmarks=self.landmark_fit.residuals if self.landmark_fit else (),
            similarity_name="local NCC",
            errors=self.errors,
            start_errors=self._errors(self.start_world_from_ct, case.views) if refined else None,
            levels=[
                Level(level.name, [step.cost for step in level.steps], [step.moved_mm for step in level.steps])
                for level in self.refinement.levels
            ],
            seconds=self.seconds,
            inputs=case.inputs,
            software={
                "MultiViewRegistration": __version__,
                "refinement": self.refined_by or "none",
                "device": self.device,
                **({"fell back": self.place.lack} if self.place.lack else {}),
            },
        )

    def suggested_masks(self) -> dict[str, np.ndarray]:
        """bool (rows, columns) by the view's name, True = use: what a case may name as `mask` to leave out what does not fit; see
        `tile_map.without_unlike`. Only of views in which something does not fit."""
        if self.assessment is None or self.assessment.evidence is None:
            return {}
        xrays = {view.name: view.xray for view in self.views}
        masks = {
            split.name: without_unlike(xrays[split.name], self.assessment.evidence, nth)
            for nth, split in enumerate(self.assessment.splits)
        }
        return {name: kept for name, kept in masks.items() if kept.any() and (kept != xrays[name].valid).any()}

    def _told_of_views(self) -> dict[str, dict]:
        """What the assessment says of each view that it is about, as `ViewReport` has it."""
        if self.assessment is None or self.assessment.evidence is None:
            return {}
        xrays = {view.name: view.xray for view in self.views}
        return {
            split.name: {
                "depth_mm": split.depth_mm,
                "in_plane_mm": split.in_plane_mm,
                "agreement": png(tile_map(xrays[split.name], self.assessment.evidence, nth)),
            }
            for nth, split in enumerate(self.assessment.splits)
        }

    def _pictures(self) -> list[dict[str, tuple[bytes, ...]]]:
        """The picture files of each view, see `picture_files`; a thread for each."""
        self.anatomy.projector(0)  # before threads would make it at the same time
        pictures = [{} for _ in self.views]

        def draw(nth: int) -> None:
            given, corrected = self.case.views[nth], self.views[nth]
            drrs = [self.anatomy.drr(corrected.camera, self.world_from_ct)]
            if self.refined_by is not None:
                drrs.insert(0, self.anatomy.drr(given.camera, self.start_world_from_ct))
            pictures[nth] = picture_files(given.xray, drrs)

        threads.run([partial(draw, nth) for nth in range(len(pictures))])
        return pictures

    def _errors(self, world_from_ct: np.ndarray, views: list[View]) -> metrics.Errors | None:
        case = self.case
        if case.truth_world_from_ct is None:
            return None
        targets = case.targets if case.targets is not None else self.anatomy.corners()
        return metrics.errors(
            [view.camera for view in views],
            world_from_ct,
            case.truth_world_from_ct,
            targets,
            [view.xray.pixel_mm for view in views],
        )


def _camera(given: Camera, corrected: Camera) -> dict[str, list]:
    """A view's camera in result.json, with what was given where that was corrected."""
    told = {"camera_from_world": corrected.camera_from_world.tolist()}
    for key in ("camera_from_world", "intrinsics"):
        before, after = getattr(given, key).tolist(), getattr(corrected, key).tolist()
        if before != after:
            told |= {key: after, f"given_{key}": before}
    return told


def _origin(case: Case, view: View) -> dict[str, dict]:
    """By which UIDs the view's image is known, where it came from DICOM."""
    image = case.dicom.views.get(view.name)
    return {"dicom": asdict(image)} if image else {}


def write_report(path: Path, cases: list[CaseReport]) -> None:
    """One HTML file about one or several registrations."""
    write_atomically(path, report(cases, created=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")))


def software(place: Workplace) -> dict[str, str]:
    """What tells in a result's file by which version, and on what, it was done, and why not where that was asked for."""
    return {"version": __version__, "device": place.told(device()), **({"fell_back": place.lack} if place.lack else {})}


def device() -> str:
    """This machine's processor."""
    return f"CPU, {threads.available_threads()} threads, {platform.machine()}"
