"""A result.json for other programs: its content, reasons not to use it, and edge checks by the user.

An edge check is the user's statement whether bone edges match the outline in an X-ray.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..assessment.bodies import BodyResult, BoneMotion
from ..assessment.records import (
    RELIABILITY,
    USES,
    VERDICTS,
    Assessed,
    Assessment,
    ExpectedError,
    Finding,
    Severity,
    TestedPoints,
    Use,
    Verdict,
)
from ..geometry.camera import Camera
from ..imaging.body import WHOLE
from ..known import without_empty, without_none
from .case import changed_inputs
from .case_file import CaseFile, DicomImage, new_uid
from .files import JsonObject, read_json, write_json
from .folders import complete

#: Code of the finding that the user saw edges that do not match.
EDGES_OFF = "edges-off"
#: Names of the severities in files.
SEVERITIES = {severity.name.lower().replace("_", " "): severity for severity in Severity}


def read_edge_checks(result: JsonObject) -> dict[str, bool]:
    """Return `edge_checks` of a result.json: whether edges match, by `edge_keys`."""
    checks = result.part("edge_checks")
    return {name: checks.value(name, "true or false", bool) for name in checks.values}


def edge_keys(body: str, views: Iterable[str]) -> list[str]:
    """Return the keys of edge checks of a bone, or of the whole CT (""), in views: "L1/AP", or "AP"."""
    return [f"{body}/{view}" if body else view for view in views]


def all_edges_match(checks: Mapping[str, bool], keys: Iterable[str]) -> bool:
    """Return whether the user confirmed the edges for every one of the keys; False without keys."""
    answers = [checks.get(key, False) for key in keys]
    return bool(answers) and all(answers)


def edge_findings(checks: Mapping[str, bool], body: str = "") -> list[Finding]:
    """Return the findings that edges of the whole CT, or also of a bone, do not match."""
    findings = edge_findings(checks) if body else []
    names = [key.rpartition("/") for key, matches in checks.items() if not matches]
    views = tuple(view for bone, _, view in names if bone == body)
    if views:
        findings.append(Finding(EDGES_OFF, views=views, values={"bone": body}))
    return findings


class AssessedPose(Assessed):
    """Base of records of a pose with `bones` by name, which have an assessment and a `similarity`."""

    if TYPE_CHECKING:

        @property
        def bones(self) -> Mapping[str, Any]:
            """Bones with poses of their own, by name."""

    @property
    def bones_are_displaced(self) -> bool:
        """Whether bones are displaced from the pose of the whole CT."""
        return self.assessment is not None and self.assessment.bones_are_displaced

    @property
    def each_bone_is_accepted(self) -> bool:
        """Whether every bone is accepted at its own pose, displaced from the pose of the whole CT."""
        verdicts = {bone.verdict for bone in self.bones.values()}
        return self.bones_are_displaced and verdicts == {"accept"}

    @property
    def overall_verdict(self) -> Verdict | None:
        """Return "accept" if `each_bone_is_accepted`, else the verdict on the pose of the whole CT."""
        return "accept" if self.each_bone_is_accepted else self.verdict

    def edges_to_check(self, views: Sequence[str], *, has_separate_cts: bool) -> list[str]:
        """Return the `edge_keys` that a user may check: those of the whole CT and of each bone to be checked.

        Parameters
        ----------
        has_separate_cts
            The bones have a separate CT each, so that there is no whole CT.
        """
        has_whole = not (has_separate_cts and self.bones or self.bones_are_displaced)
        keys = [*views] if has_whole and self.verdict == "check" else []
        for name, bone in self.bones.items():
            if bone.verdict == "check":
                keys += edge_keys(name, [view for view in views if view in bone.similarity])
        return keys


def finding_json(finding: Finding) -> dict[str, Any]:
    """Return an entry of `findings` of a result.json."""
    content = {
        "code": finding.code,
        "severity": finding.severity.name.lower().replace("_", " "),
        "uses": [use for use in USES if use in finding.uses],
        "views": finding.views,
        "values": finding.values,
    }
    return without_empty(content)


def assessment_json(assessment: Assessment | None) -> dict[str, Any]:
    """Return the fields of a result.json that `read_assessment` reads."""
    if assessment is None:
        return {"verdict": None, "uses": {}, "findings": []}
    tested = assessment.tested
    content = {
        "verdict": assessment.verdict,
        "uses": {use: without_none(each._asdict()) for use, each in assessment.uses.items()},
        "findings": [finding_json(finding) for finding in assessment.findings],
        "failure_probability": assessment.risk,
        "tested": vars(tested) if len(tested) else None,
    }
    return without_none(content)


def predicted_tre_json(assessment: Assessment | None) -> dict[str, float] | None:
    """Return `predicted_tre_mm` of a result.json: the expected error of the 3D position; None if unknown."""
    error = assessment.errors.get("position") if assessment else None
    return error and without_none({"typical": error.typical_mm, "upper95": error.upper95_mm})


def body_json(body: BodyResult) -> dict[str, Any]:
    """Return an entry of `bodies` of a result.json, without its sentences."""
    moved = body.moved
    motion = moved and {"mm": moved.mm, "deg": moved.degrees, "axis": moved.axis}
    optional = {
        "moved": motion,
        "ct_uid": body.ct_uid or None,
        "mtre_mm": body.mtre_mm,
        "checked": body.checked or None,
    }
    return {
        "world_from_ct": body.world_from_ct,
        **assessment_json(body.assessment),
        "predicted_tre_mm": predicted_tre_json(body.assessment),
        "similarity": body.similarity,
        **without_none(optional),
    }


def read_body(name: str, fields: JsonObject) -> BodyResult:
    """Read an entry of `bodies` of a result.json.

    Raises
    ------
    InputError
        If the content is invalid.
    """
    moved = None
    if fields.has("moved"):
        motion = fields.section("moved")
        axis = motion.array("axis", (3,), "a unit vector")
        moved = BoneMotion(motion.number("mm", "mm"), motion.number("deg", "degrees"), axis)
    similarity = fields.section("similarity")
    return BodyResult(
        name,
        fields.rigid("world_from_ct"),
        read_assessment(fields),
        {view: similarity.number(view, "a number") for view in similarity.values},
        moved,
        ct_uid=_uid(fields, "ct_uid") if fields.has("ct_uid") else "",
        checked=fields.optional("checked", fields.value, "true", bool, default=False),
    )


def read_assessment(fields: JsonObject) -> Assessment | None:
    """Read the assessment of a pose, without findings of the user's edge checks; None if it was not assessed.

    Raises
    ------
    InputError
        If the content is invalid, or the verdict on the 3D position is missing.
    """
    verdict = fields.value("verdict", "a verdict or null")
    if verdict is None:
        return None
    findings = []
    if fields.value("findings", "a list of findings", list):
        findings = [_finding(each) for each in fields.sections("findings", "the findings")]
    errors: dict[Use, ExpectedError | None] = {}
    by_use = fields.section("uses")
    by_use.section("position")
    stated: list[tuple[Use, str]] = [("position", fields.choice("verdict", VERDICTS))]
    for use in filter(by_use.has, USES):
        each = by_use.section(use)
        stated.append((use, each.choice("verdict", VERDICTS)))
        keys = ("typical_mm", "upper95_mm")
        typical, upper = (each.optional(key, each.number, "mm", least=0) for key in keys)
        errors[use] = None if typical is None else ExpectedError(typical, upper)
    tested = TestedPoints.empty()
    if fields.has("tested"):
        tested = _tested_points(fields.section("tested"))
    risk = fields.optional("failure_probability", fields.number, "a probability", least=0)
    assessment = Assessment(tuple(findings), errors, risk, tested)
    for use, verdict_of_use in stated:
        if assessment.verdict_for(use) != verdict_of_use:
            expected = f"{assessment.verdict_for(use)}, which follows from the findings"
            fields.refuse("verdict", f"for {use} is {verdict_of_use}", expected)
    return assessment.without(EDGES_OFF)


def _finding(fields: JsonObject) -> Finding:
    uses: Any = fields.optional("uses", fields.texts, "uses", default=USES)
    values = fields.part("values").values
    views = fields.optional("views", fields.texts, "names of views", default=())
    severity = SEVERITIES[fields.choice("severity", tuple(SEVERITIES))]
    return Finding(fields.text("code", "a code"), severity, frozenset(uses), tuple(views), values)


def _tested_points(fields: JsonObject) -> TestedPoints:
    points = fields.array("points_mm", (None, 3), "points in CT mm")
    states = {}
    for key in ("in_place", "overlay_in_place", "displaced"):
        flags = np.array(fields.value(key, "true or false for each point", list), bool)
        if len(flags) != len(points):
            fields.refuse(key, f"has {len(flags)} entries", f"one for each of {len(points)} points")
        states[key] = flags
    are_targets = fields.value("are_targets", "true or false", bool)
    return TestedPoints(points, **states, are_targets=are_targets)


VERSION = 1
REJECTED = "The result was rejected."
NOT_ASSESSED = "not assessed"
#: Digits of an X-ray's SHA-256 that are said: 32 bits tell those of a hospital apart.
DIGITS = 8
#: Exported with a pose whose bone edges the user confirmed.
EDGES_FIT = "the user confirmed the bone edges in every X-ray"
#: Why a result is not to be used, by its verdict.
WARNINGS = {"reject": REJECTED, "not shown": "No X-ray shows this bone."}


@dataclass(frozen=True, eq=False)
class ExportedView:
    """A view of an exported result.

    Attributes
    ----------
    name
        The case's, which never leaves this machine.
    camera_from_world
        (4, 4), in which the pose holds.
    intrinsics
        (3, 3), where they were corrected.
    """

    name: str
    image: DicomImage | None
    camera_from_world: np.ndarray | None = None
    intrinsics: np.ndarray | None = None

    def corrected(self, camera: Camera) -> Camera:
        """Return the case's camera of this view, as the registration left it."""
        pose = (
            camera.camera_from_world if self.camera_from_world is None else self.camera_from_world
        )
        intrinsics = camera.intrinsics if self.intrinsics is None else self.intrinsics
        return replace(camera, intrinsics=intrinsics, camera_from_world=pose)


@dataclass(frozen=True, eq=False)
class RegistrationExport:
    """A result.json for navigation. Poses (4, 4) in LPS mm.

    Attributes
    ----------
    verdict
        Verdict on the 3D position.
    uids
        FrameOfReferenceUID of "world", "ct" and "reference".
    warning
        Why the result should not be used, a sentence without names of files or views, or None.
    overridden
        Whether that was overridden when it was written.
    structure
        The bone of which pose and verdict are; None for the whole CT.
    risk
        The error to expect, a sentence; "" where nothing has told it.
    checked
        Whether the user confirmed the edges in every X-ray.
    xrays
        SHA-256 of each X-ray, by which the case is known without a name.
    ct_images
        The slices of the CT, where they are DICOM and at hand.
    """

    path: Path
    world_from_ct: np.ndarray
    reference_from_world: np.ndarray | None
    verdict: str | None
    warning: str | None
    overridden: bool
    uids: dict[str, str]
    views: list[ExportedView]
    inputs: dict[str, str]
    structure: str | None = None
    risk: str = ""
    checked: bool = False
    xrays: tuple[str, ...] = ()
    ct_images: tuple[DicomImage, ...] = ()

    @classmethod
    def read(cls, path: str | os.PathLike, structure: str | None = None) -> RegistrationExport:
        """Read a result.json, or the one in a folder.

        Parameters
        ----------
        structure
            The name of one of its structures, whose pose and verdict are meant; None for those of
            the whole CT.

        Raises
        ------
        InputError
            For invalid content.
        """
        return cls.of(*result_content(path), structure)

    @classmethod
    def of(cls, path: Path, fields: JsonObject, structure: str | None = None) -> RegistrationExport:
        """Take the content of the result.json at a path; `structure` and errors as of `read`."""
        fields.check_version(VERSION)
        posed = fields if structure is None else bones_in(fields)[structure]
        assessment = read_assessment(posed)
        verdict = assessment.verdict if assessment else None
        uids = fields.part("frame_of_reference_uid")
        frames = filter(uids.has, ("world", "ct", "reference"))
        known = {frame: _uid(uids, frame) for frame in frames}
        if posed.has("ct_uid"):
            known["ct"] = _uid(posed, "ct_uid")
        override = fields.optional("override", fields.text, "a sentence")
        return cls(
            path=path,
            world_from_ct=posed.rigid("world_from_ct"),
            reference_from_world=fields.optional("reference_from_world", fields.rigid),
            verdict=verdict,
            warning=override or WARNINGS.get(verdict or ""),
            overridden=override is not None,
            uids=known,
            views=[_view(view) for view in fields.sections("views", "the views of the result")],
            inputs=fields.part("inputs").values,
            structure=structure,
            checked=posed.optional("checked", posed.value, "true", bool, default=False),
            risk=_expected_error(assessment),
            xrays=tuple(
                fields.section("case").texts("images", "SHA-256 sums") if fields.has("case") else ()
            ),
        )

    @classmethod
    def every(
        cls, path: str | os.PathLike, content: dict[str, Any] | None = None
    ) -> tuple[RegistrationExport, list[RegistrationExport]]:
        """Read a result.json, or the one in a folder: the result itself, and each pose that other programs get.

        Those are the whole CT's, which is the result's, and that of each bone. Bones with a CT each
        have no whole CT: the result's own pose is that of the first of them.

        Parameters
        ----------
        content
            That of the result.json at this path, where it is known.

        Raises
        ------
        InputError
            For invalid content.
        """
        fields = JsonObject("result.json", "", content or {})
        if content is None:
            path, fields = result_content(path)
        result = cls.of(Path(path), fields)
        bones = [cls.of(result.path, fields, name) for name in bones_in(fields)]
        bodies = fields.values.get("bodies")
        return result, [*([] if bodies and WHOLE not in bodies else [result]), *bones]

    @property
    def refused(self) -> bool:
        """Whether it is not to be used, and nobody has overridden that."""
        return bool(self.warning) and not self.overridden

    @property
    def doubt(self) -> tuple[bool, int]:
        """How far it is in doubt, to compare with others."""
        return bool(self.warning), RELIABILITY.index(self.verdict)

    def changes(self, case: str | os.PathLike) -> str | None:
        """Return which files of the case it was found from are others now, a sentence.

        None for none.
        """
        others = changed_inputs(self.inputs, CaseFile.read(case))
        return (
            f"An input has changed since the registration: {', '.join(others)}." if others else None
        )

    def with_changes(self, stale: str | None) -> RegistrationExport:
        """Return the result with what `changes` says as a warning."""
        if stale is None:
            return self
        return replace(
            self, warning=f"{self.warning} {stale}" if self.warning else stale, overridden=False
        )

    @property
    def said(self) -> dict[str, str]:
        """What every file with the pose says of it: verdict, risk, case and frames, without a name."""
        frames = ", ".join(f"{frame} {uid}" for frame, uid in self.uids.items())
        xrays = ", ".join(each[:DIGITS] for each in self.xrays)
        known = {
            "verdict": self.verdict or NOT_ASSESSED,
            "risk": self.risk,
            "checked": EDGES_FIT if self.checked and not self.warning else "",
            "case": f"X-rays {xrays} by case.images of its result.json" if xrays else "",
            "frames": f"FrameOfReferenceUID {frames}" if frames else "",
        }
        return without_empty(known)

    def comments(self, meaning: str = "") -> list[str]:
        """Return lines for a file: the warning, what its numbers mean, and what is `said`."""
        warning = f"Override: {self.warning}" if self.warning else ""
        said = [f"{key.capitalize()}: {text.rstrip('.')}." for key, text in self.said.items()]
        return [*filter(None, [warning, meaning, *said])]

    def marked(self, text: str) -> str:
        """Return a text about it, after its warning, where it has one."""
        return f"NOT FOR USE: {self.warning} {text}" if self.warning else text

    @property
    def prefix(self) -> str:
        """What the names of its files begin with."""
        return "" if self.structure is None else f"{self.structure}_"

    @property
    def poses(self) -> dict[str, np.ndarray]:
        """The poses that are offered, forward, by name."""
        further = (
            {}
            if self.reference_from_world is None
            else {"reference_from_ct": self.reference_from_world @ self.world_from_ct}
        )
        return {"world_from_ct": self.world_from_ct, **further}

    def with_uids(self) -> RegistrationExport:
        """Return the result with a UID for each frame.

        What had none gets one, kept in the result.json for the next time.
        """
        wanted = ["world", "ct", *(["reference"] if self.reference_from_world is not None else [])]
        if all(frame in self.uids for frame in wanted):
            return self
        content = read_json(self.path)
        kept = (
            content.get("frame_of_reference_uid") or {}
        )  # another bone may have got one meanwhile
        known = kept | self.uids  # a bone's own CT before that of the result
        uids = {frame: known.get(frame) or new_uid() for frame in wanted}
        content |= {"frame_of_reference_uid": uids | kept}
        write_json(self.path, content)
        return replace(self, uids=uids)


def result_content(path: str | os.PathLike) -> tuple[Path, JsonObject]:
    """Return the path of a result.json, or of the one in a folder, and its content.

    Raises
    ------
    InputError
        Where it is none.
    """
    path = Path(path)
    path = path / "result.json" if path.is_dir() else path
    complete(path.parent)
    return path, JsonObject.read(path, "a result.json")


def bones_in(fields: JsonObject) -> dict[str, JsonObject]:
    """Return the bones of a result.json, or of a frame of a track.json, by their names."""
    bodies = fields.part("bodies")
    return {name: bodies.section(name) for name in bodies.values if name != WHOLE}


def _expected_error(assessment: Assessment | None) -> str:
    """Return the expected error of the 3D position as a sentence; "" if unknown."""
    position = assessment.uses["position"] if assessment else None
    if position is None or position.typical_mm is None:
        return ""
    bound_mm = position.upper95_mm
    bound = "" if bound_mm is None else f" (95 %: {bound_mm:.1f} mm)"
    return f"Expected error of the 3D position {position.typical_mm:.1f} mm{bound}."


def _uid(fields: JsonObject, key: str) -> str:
    uid = fields.text(key, "a DICOM UID")
    if len(uid) > 64 or not all(part.isdecimal() and part.isascii() for part in uid.split(".")):
        fields.refuse_value(key, "a DICOM UID, numbers with dots between")
    return uid


def _view(fields: JsonObject) -> ExportedView:
    image = None
    if fields.has("dicom"):
        dicom = fields.section("dicom")
        uids = ("study_uid", "series_uid", "sop_class_uid", "sop_instance_uid")
        has_frame = dicom.has("frame") and dicom.values["frame"] is not None
        frame = dicom.integer("frame", "a frame's number, from 0", 0) if has_frame else None
        image = DicomImage(**{key: _uid(dicom, key) for key in uids}, frame=frame)
    return ExportedView(
        name=fields.text("name", "the view's name"),
        image=image,
        camera_from_world=fields.optional("camera_from_world", fields.rigid),
        intrinsics=fields.optional("intrinsics", fields.array, (3, 3), "3 rows of 3 numbers"),
    )
