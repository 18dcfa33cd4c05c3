"""The entries of a case beside its CT and views: one record for files, scenes, arrays and copies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from dataclasses import fields as dataclass_fields
from typing import TYPE_CHECKING, Any

import numpy as np

from ..imaging.xray import SharedUnknowns
from ..known import without_empty
from .files import JsonObject, describe, plain

if TYPE_CHECKING:
    from ..geometry.landmarks import Landmark

#: How the cameras of several views came to be known relative to each other.
RELATIVE_GEOMETRIES = ("calibrated", "estimated", "truth")
#: In what the DICOM headers of CT, X-rays and segmentations can contradict each other.
MISMATCH_KINDS = ("patient", "side", "day", "frame")
#: The key of the random salt of the patients' digests.
SALT = "salt"
DEFAULT_SEARCH = {"rotation_deg": 15.0, "translation_mm": 45.0}
#: The largest half-width of each range to train on, None for any.
TRAINING = {
    "orbital_deg": 180,
    "tilt_deg": 90,
    "roll_deg": 180,
    "columns_mm": None,
    "rows_mm": None,
    "beam_mm": None,
}


@dataclass(eq=False, kw_only=True)
class CaseSettings:
    """The entries of a case beside its CT and views.

    Attributes
    ----------
    shared_unknowns
        The geometric unknowns that are the same in all views.
    search
        rotation_deg, translation_mm: how far a search goes from the start; None where the case does
        not say it, see `search_range`.
    training
        Half-widths of the poses that a regressor learns, by the names of regressor.poses.AXES;
        `search_range` stands for those left out.
    targets
        (N, 3) CT LPS mm, if any.
    landmarks
        Points of the anatomy and where the views show them, for a start from landmarks.
    reference_from_world
        (4, 4) to the frame of a navigation tracker.
    truth_world_from_ct
        (4, 4) only ever read to report errors.
    structure_truths
        (4, 4) world_from_ct of structures by name, only ever read to report errors.
    relative_geometry
        How the views' cameras came to be known relative to each other, one of RELATIVE_GEOMETRIES;
        None where unknown.
    same_patient
        A person says that CT and X-rays are of one patient, whatever their DICOM headers say.
    header_mismatch
        In which of MISMATCH_KINDS the DICOM headers differed of files from which the case was
        written, without headers.
    patient_digests
        By which the patient of an image is known without a name, with their SALT, see
        `dicom_identity.DIGESTS`: by the view's name, "" for the CT.
    """

    shared_unknowns: SharedUnknowns = field(default_factory=SharedUnknowns)
    search: dict[str, float] | None = None
    training: dict[str, float] = field(default_factory=dict)
    targets: np.ndarray | None = None
    landmarks: list[Landmark] = field(default_factory=list)
    reference_from_world: np.ndarray | None = None
    truth_world_from_ct: np.ndarray | None = None
    structure_truths: dict[str, np.ndarray] = field(default_factory=dict)
    relative_geometry: str | None = None
    same_patient: bool = False
    header_mismatch: dict[str, bool] = field(default_factory=dict)
    patient_digests: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def of_json(cls, fields: JsonObject, views: Sequence[str] = ()) -> CaseSettings:
        """Read these entries of a case.json.

        Parameters
        ----------
        views
            The names of its views.

        Raises
        ------
        InputError
            For invalid content.
        """
        truth = fields.section("truth") if fields.has("truth") else None
        targets = "a list of points [x, y, z] in CT LPS mm"
        points = fields.optional("targets", fields.array, (None, 3), targets)
        training = _ranges(fields, "training", TRAINING_RANGES)
        if len(training) == len(TRAINING) and not any(training.values()):
            expected = "a range above 0, as a single pose is nothing to learn"
            fields.refuse("training", "has 0 everywhere", expected, "widen it")
        relative = fields.optional("relative_geometry", fields.choice, RELATIVE_GEOMETRIES)
        return CaseSettings(
            shared_unknowns=SharedUnknowns(**_ranges(fields, "shared_unknowns", SHARED_UNKNOWNS)),
            search=_ranges(fields, "search", SEARCH, required=True) or None,
            training=training,
            targets=None if points is None or not len(points) else points,
            landmarks=_landmarks(fields, views),
            reference_from_world=fields.optional("reference_from_world", fields.rigid),
            truth_world_from_ct=_whole_truth(truth) if truth else None,
            structure_truths=_truths(truth) if truth else {},
            relative_geometry=relative,
            same_patient=fields.optional(
                "same_patient", fields.value, "true or false", bool, default=False
            ),
            header_mismatch=_header_mismatch(fields),
            patient_digests=_digests(fields),
        )

    @property
    def entries(self) -> dict[str, Any]:
        """These entries by their names, also of what has more fields."""
        return {each.name: getattr(self, each.name) for each in dataclass_fields(CaseSettings)}

    def to_json(self) -> dict[str, Any]:
        """Return these entries of a case.json but for what is as by default; `of_json` makes equal settings of them."""
        content = plain(self.entries)
        keys = {"world_from_ct": "truth_world_from_ct", "structures": "structure_truths"}
        content["truth"] = without_empty({key: content.pop(name) for key, name in keys.items()})
        digests = content["patient_digests"]
        if digests:
            (salt,) = {known.pop(SALT) for known in digests.values()}
            parts = {"ct": digests.pop("", None), "views": digests}
            content["patient_digests"] = {SALT: salt, **without_empty(parts)}
        return without_empty(content)

    @property
    def search_range(self) -> dict[str, float]:
        """How far a search goes about a pose: as the case says, or as usual."""
        if self.search is None:
            return DEFAULT_SEARCH.copy()
        search = self.search  # which anybody may have set
        if isinstance(search, dict):
            search = {key: np.asarray(value).tolist() for key, value in search.items()}
        return _ranges(JsonObject("case", "", {"search": search}), "search", SEARCH, required=True)


#: What the numbers of a section must be: a sentence, and their limits as in `JsonObject.number`.
SEARCH = {
    "rotation_deg": ("degrees above 0 and up to 180", {"above": 0, "most": 180}),
    "translation_mm": ("mm above 0", {"above": 0}),
}


def _deviation(unit: str) -> tuple[str, dict[str, float]]:
    return f"a standard deviation in {unit} above 0; leave out what is known exactly", {"above": 0}


SHARED_UNKNOWNS = {
    "source_to_detector_sd_mm": _deviation("mm"),
    "principal_point_sd_px": _deviation("pixels"),
    "isocentre_sd_mm": _deviation("mm"),
}


def _training_range(most: float | None) -> tuple[str, dict[str, float]]:
    if most is None:
        return "mm, 0 or more", {"least": 0}
    return f"degrees from 0 to {most}", {"least": 0, "most": most}


TRAINING_RANGES = {key: _training_range(most) for key, most in TRAINING.items()}


def _ranges(
    fields: JsonObject, key: str, ranges: dict, *, required: bool = False
) -> dict[str, float]:
    """Return the numbers in a section, all of them or those that are given.

    None without the section.
    """
    if not fields.has(key):
        return {}
    section = fields.section(key)
    given = ranges if required else filter(section.has, ranges)
    return {name: section.number(name, ranges[name][0], **ranges[name][1]) for name in given}


def _header_mismatch(fields: JsonObject) -> dict[str, bool]:
    section = fields.part("header_mismatch")
    given = filter(section.has, MISMATCH_KINDS)
    return {kind: section.value(kind, "true or false", bool) for kind in given}


def _digests(fields: JsonObject) -> dict[str, dict[str, str]]:
    if not fields.has("patient_digests"):
        return {}
    section = fields.section("patient_digests")
    salt = {SALT: _digest(section, SALT)}
    views = section.part("views")
    named = {name: views.section(name) for name in views.values}
    if section.has("ct"):
        named[""] = section.section("ct")
    found = {}
    for name, digests in named.items():
        found[name] = salt | {key: _digest(digests, key) for key in digests.values}
    return found


def _digest(fields: JsonObject, key: str) -> str:
    expected = "32 hexadecimal digits"
    text = fields.value(key, expected, str)
    if not re.fullmatch("[0-9a-f]{32}", text):
        fields.refuse_value(key, expected)
    return text


def _whole_truth(truth: JsonObject) -> np.ndarray | None:
    """Return the true world_from_ct (4, 4) of the CT, which may be missing beside those of structures."""
    return (
        truth.optional("world_from_ct", truth.rigid)
        if truth.has("structures")
        else truth.rigid("world_from_ct")
    )


def _truths(truth: JsonObject) -> dict[str, np.ndarray]:
    """Return the true poses (4, 4) of structures by name."""
    expected = "an object with a rigid 4x4 matrix for each structure"
    poses = truth.part("structures", expected)
    return {name: poses.rigid(name) for name in poses.values}


def _landmarks(fields: JsonObject, views: Sequence[str]) -> list[Landmark]:
    if not fields.has("landmarks"):
        return []
    from ..geometry.landmarks import Landmark

    landmarks = []
    for landmark in fields.sections("landmarks", "a list of one or more landmarks"):
        seen = landmark.section("views", "an object with [column, row] for each view that shows it")
        for name in seen.values:
            if name not in views:
                expected = "one of " + ", ".join(describe(view) for view in views)
                landmark.refuse(
                    "views", f"has the key {describe(name)}, which is no view", expected
                )
        landmarks.append(
            Landmark(
                name=landmark.text("name", "a name for the landmark"),
                ct=landmark.array("ct", (3,), "a point [x, y, z] in CT LPS mm"),
                pixels={
                    name: seen.array(name, (2,), "a pixel [column, row]") for name in seen.values
                },
            )
        )
    return landmarks
