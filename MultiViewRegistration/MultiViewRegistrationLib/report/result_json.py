"""The content of result.json as types, by result.schema.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

from ..errors import InputError
from ..io.files import JsonObject
from ..io.navigation.registration_export import RegistrationExport
from ..reasons import Verdict

Matrix = list[list[float]]


class PredictedJson(TypedDict, total=False):
    """`predicted_tre_mm`, in mm; the mean is always there."""

    mean: float
    upper95: float
    typical: float


class ViewJson(TypedDict, total=False):
    """An entry of `views`; the first three keys are always there."""

    name: str
    similarity: float
    camera_from_world: Matrix
    state: str
    given_camera_from_world: Matrix
    intrinsics: Matrix
    given_intrinsics: Matrix
    dicom: dict[str, Any]


class DiagnosisJson(TypedDict):
    """`diagnosis`."""

    cause: str
    code: str
    views: list[str]
    evidence_gain: float
    clear: bool
    similarity: list[float]
    world_from_ct: Matrix
    moved_mm: float


class _Required(TypedDict):
    version: int
    world_from_ct: Matrix
    verdict: Verdict | None
    reasons: list[str]
    reason_codes: list[str]
    predicted_tre_mm: PredictedJson | None
    bodies: dict[str, dict[str, Any]]
    views: list[ViewJson]
    start: dict[str, Any]
    regressor: dict[str, Any] | None
    alternative: dict[str, Any] | None
    refinement: str | None
    seconds: dict[str, float]
    software: dict[str, str]
    inputs: dict[str, str]


class ResultJson(_Required, total=False):
    """What `Result.to_json` returns; `files` once it is written."""

    reason_headlines: list[str]
    summary: str
    scope: str
    override: str
    withheld: str
    frame_of_reference_uid: dict[str, str | None]
    reference_from_world: Matrix
    same_patient: bool
    motions: list[dict[str, Any]]
    relative_poses: list[dict[str, Any]]
    uses: dict[str, dict[str, Any]]
    relative_geometry: str | None
    uncertainty: dict[str, Any] | None
    diagnosis: DiagnosisJson | None
    errors: dict[str, float | None]
    background: dict[str, Any] | None
    case: dict[str, Any]
    digest: str
    files: dict[str, str]


def is_whole(path: Path) -> bool:
    """Return whether a result.json can be read, and has all that it must have."""
    try:
        RegistrationExport.read(path)
        fields = JsonObject.read(path)
        fields.section("seconds").number("total", "a number of seconds")
        if fields.value("predicted_tre_mm", "an object or null") is not None:
            fields.section("predicted_tre_mm").number("mean", "a number of mm")
        fields.section("inputs")
    except InputError:
        return False
    return ResultJson.__required_keys__ <= fields.values.keys()
