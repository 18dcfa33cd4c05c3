"""A result.json for other programs: its content, the reasons not to use it, and what people answered about it.

They were asked whether bone lies on the outlines of a pose, X-ray by X-ray.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from ..errors import (
    DOUBT,
    KEYS,
    BoneVerdict,
    Reason,
    Use,
    Verdict,
    bones_apart,
    from_codes,
)
from ..geometry.camera import Camera
from ..imaging.body import WHOLE
from ..known import without_empty, without_none
from .case import changed_inputs
from .case_file import CaseFile, DicomImage, new_uid
from .files import JsonObject, read_json, write_json
from .folders import complete

#: Code of the reason that the user saw bone edges off the outline.
EDGES_OFF = "edges-off"


def read_edge_checks(result: JsonObject) -> dict[str, bool]:
    """Return `edge_checks` of a result.json: whether edges lie on the outline, by `keys_of`."""
    checks = result.part("edge_checks")
    return {name: checks.value(name, "true or false", bool) for name in checks.values}


def keys_of(body: str, views: Iterable[str]) -> list[str]:
    """Return the keys of edge checks of a bone, or of the whole CT (""), in views: "L1/AP", or "AP"."""
    return [f"{body}/{view}" if body else view for view in views]


def all_on_line(checks: Mapping[str, bool], keys: Iterable[str]) -> bool:
    """Return whether the user confirmed the edges for every one of the keys; False without keys."""
    answers = [checks.get(key, False) for key in keys]
    return bool(answers) and all(answers)


def off_line(checks: Mapping[str, bool], body: str = "") -> list[Reason]:
    """Return the reason that the user saw edges of the whole CT, or also of a bone, off the outline."""
    reasons = off_line(checks) if body else []
    names = [key.rpartition("/") for key, on_line in checks.items() if not on_line]
    views = ", ".join(view for bone, _, view in names if bone == body)
    if not views:
        return reasons
    bone = f" of {body}" if body else ""
    headline = f"Edges{bone} do not match the outline in {views}"
    action = f"check the geometry of {views}, or register again from another start"
    return [*reasons, Reason(EDGES_OFF, f"{headline}\n: {action}.")]


class Answered:
    """Base of what has a `verdict` and `reasons`, and `bones` by name, each with a `verdict` and the `similarity` of each view."""

    @property
    def each_accepted(self: Any) -> bool:
        """Whether every bone is accepted at its own pose, apart from where the CT in one piece has it."""
        verdicts = {bone.verdict for bone in self.bones.values()}
        return bones_apart(self.reasons) and verdicts == {"accept"}

    @property
    def answer(self: Any) -> Any:
        """The verdict of what is to be used: of each bone where `each_accepted`."""
        return "accept" if self.each_accepted else self.verdict

    def to_look_at(self: Any, views: Sequence[str], own_cts: object) -> list[str]:
        """Return where a person may look at edges, by `keys_of`: of the whole and each bone that are to be checked.

        Parameters
        ----------
        own_cts
            True, or what is not empty, where bones have a CT each, so that there is no whole.
        """
        apart = own_cts and self.bones or bones_apart(self.reasons)
        keys = [] if apart or self.verdict != "check" else [*views]
        for name, bone in self.bones.items():
            if bone.verdict == "check":
                keys += keys_of(name, filter(bone.similarity.__contains__, views))
        return keys


@dataclass(frozen=True)
class UseVerdict:
    """How far a pose can be trusted for one use.

    Attributes
    ----------
    typical_mm, upper95_mm
        Median and 95 % bound of its error; None where they are not known.
    """

    verdict: BoneVerdict
    typical_mm: float | None = None
    upper95_mm: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return an entry of `uses` of a result.json."""
        return without_none(vars(self))


@dataclass(frozen=True, eq=False, kw_only=True)
class StoredVerdict:
    """The verdict of a pose, or of a bone's, as a result.json, a frame of a track.json and a scene have it.

    Attributes
    ----------
    verdict
        "accept", "check" or "reject", of a bone also "not shown"; None where it was not assessed.
    reasons
        What a person must know before trusting the pose, but what a person saw, which the
        edge_checks tell.
    uses
        Verdict and expected error for each use; `verdict` is that of the 3D position.
    """

    verdict: Any = None
    reasons: list[Any] = field(default_factory=list)
    uses: Mapping[Use, UseVerdict] = field(default_factory=dict)

    @classmethod
    def read(cls, fields: JsonObject, verdicts: tuple[str, ...]) -> StoredVerdict:
        """Read the verdict of a pose.

        Raises
        ------
        InputError
            For invalid content, or if the verdict on the 3D position is missing.
        """
        verdict = fields.value("verdict", "a verdict or null")
        if verdict is not None:
            verdict = fields.choice("verdict", verdicts)
        fields.optional("reasons", fields.texts, "a list of sentences")
        told = {key: fields.optional(key, fields.value, "a list", list, default=()) for key in KEYS}
        reasons = [each for each in from_codes(told) if each.code != EDGES_OFF]
        by_use = fields.part("uses")
        if by_use.values:
            by_use.section("position")
        uses: dict[Use, UseVerdict] = {}
        for of in filter(by_use.has, get_args(Use)):  # a later version has more of them
            each = by_use.section(of)
            mm = (
                each.optional(key, each.number, "mm", least=0)
                for key in ("typical_mm", "upper95_mm")
            )
            own: Any = each.choice("verdict", verdicts)
            uses[of] = UseVerdict(own, *mm)
        if uses and uses["position"].verdict != verdict:
            fields.refuse("verdict", f"is {verdict}", "the verdict of uses.position")
        return StoredVerdict(verdict=verdict, reasons=reasons, uses=uses)


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
        told = StoredVerdict.read(posed, get_args(BoneVerdict if structure else Verdict))
        verdict = told.verdict
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
            risk=_risk(posed, told.uses.get("position")),
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
        return bool(self.warning), DOUBT.index(self.verdict)

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


def _risk(posed: JsonObject, position: UseVerdict | None) -> str:
    """Return the expected error of the 3D position of a CT or bone as a sentence; "" if unknown."""
    if position and position.typical_mm is not None:
        bound = ""
        if position.upper95_mm is not None:
            bound = f" (95 %: {position.upper95_mm:.1f} mm)"
        return f"Expected error of the 3D position {position.typical_mm:.1f} mm{bound}."
    if posed.values.get("summary"):
        return posed.text("summary", "a sentence")
    if posed.values.get("predicted_tre_mm") is None:
        return ""
    predicted = posed.section("predicted_tre_mm")
    told = f"Error probably about {predicted.number('mean', 'a number of mm'):.1f} mm"
    if predicted.has("upper95"):
        told += f", 95 % below {predicted.number('upper95', 'a number of mm'):.1f} mm"
    return f"{told}."


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
