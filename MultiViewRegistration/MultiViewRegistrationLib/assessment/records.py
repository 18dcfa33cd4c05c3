"""Records of an assessment: findings, and the verdict and expected error for each use of a pose.

The verdict for a use is the most severe finding that limits this use, so that an accepted use has no
caution. The sentences that describe findings are in `report.messages`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

if TYPE_CHECKING:
    from .causes import Cause
    from .context import Evidence

#: Uses of a pose: the overlay of the CT on these X-rays, the pose of bones relative to each other,
#: and the 3D position, for navigation.
Use = Literal["overlay", "relative", "position"]
USES: tuple[Use, ...] = get_args(Use)
Verdict = Literal["accept", "check", "not shown", "reject"]
#: From the most to the least reliable pose.
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
#: Poses with these verdicts must not be used.
UNUSABLE = ("not shown", "reject")
#: Verdicts from the most to the least reliable; None without an assessment.
RELIABILITY = ("accept", "check", None, "not shown", "reject")
#: Larger errors are wrong, for each use: mean over the targets, and rotation of one bone relative to
#: another. Surgical navigation is cleared with 2.5 mm for 95 % (FDA K234047).
WRONG_MM = 2.0
WRONG_DEG = 2.0


class Severity(IntEnum):
    """Effect of a finding on the verdict, in the order of `VERDICTS`."""

    NOTE = 0
    CAUTION = 1
    NOT_SHOWN = 2
    FAILURE = 3


NOTE, CAUTION, NOT_SHOWN, FAILURE = Severity


@dataclass(frozen=True)
class Finding:
    """One result of the checks of a pose.

    Attributes
    ----------
    code
        Identifier in `report.messages`; its meaning never changes.
    severity
        CAUTION limits the verdict to "check", FAILURE to "reject".
    uses
        Uses of the pose that the finding limits.
    views
        Names of the views that it is about.
    values
        Numbers and names for its message.
    """

    code: str
    severity: Severity = CAUTION
    uses: frozenset[Use] = frozenset(USES)
    views: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict, hash=False)


OVERLAY: frozenset[Use] = frozenset({"overlay"})
POSITION: frozenset[Use] = frozenset({"position"})
RELATIVE: frozenset[Use] = frozenset({"relative"})


class ExpectedError(NamedTuple):
    """Expected target error for one use, mm.

    The error of the overlay is measured across the beam, in the view where it is largest. The error of
    relative poses is that of the pair of bones with the largest error.

    Attributes
    ----------
    typical_mm
        Median of the root mean square over the targets.
    upper95_mm
        95 % bound; None if unknown.
    """

    typical_mm: float
    upper95_mm: float | None


class RotationError(NamedTuple):
    """Expected error of a rotation, degrees.

    Attributes
    ----------
    typical_deg, upper95_deg
        Median, and 95 % bound; None if unknown.
    """

    typical_deg: float
    upper95_deg: float | None


class UseAssessment(NamedTuple):
    """Verdict and expected error for one use; the errors are None if unknown."""

    verdict: Verdict
    typical_mm: float | None = None
    upper95_mm: float | None = None


@dataclass(frozen=True, eq=False)
class TestedPoints:
    """Points at which the X-rays were tested for displaced bone.

    Attributes
    ----------
    points_mm
        (N, 3) CT mm.
    in_place, overlay_in_place, displaced
        (N,) bool: a displacement by WRONG_MM is excluded; a displacement that would be visible in
        these X-rays is excluded; bone is displaced. The other points could not be tested.
    are_targets
        They are the targets of the case.
    """

    points_mm: np.ndarray
    in_place: np.ndarray
    overlay_in_place: np.ndarray
    displaced: np.ndarray
    are_targets: bool = False

    @classmethod
    def empty(cls) -> TestedPoints:
        """Return an empty set of points."""
        nothing = np.zeros(0, bool)
        return cls(np.zeros((0, 3)), nothing, nothing, nothing)

    def __len__(self) -> int:
        return len(self.points_mm)

    def confirmed(self, use: Use) -> np.ndarray:
        """Return which points (N,) bool are in place for a use."""
        return self.overlay_in_place if use == "overlay" else self.in_place


@dataclass(frozen=True, eq=False)
class Assessment:
    """Findings on a pose, and its expected error for each use.

    The same record describes a whole CT, a bone, an implant and a frame of a sequence.

    Attributes
    ----------
    findings
        Findings, the most important first.
    errors
        Expected error by use, for the uses that apply; None if unknown.
    risk
        Probability that the error of the 3D position exceeds WRONG_MM; None if it was not measured
        for such images.
    tested
        Points that were tested for displaced bone.
    cause
        Likely cause of a poor fit; None if none was found.
    evidence
        Measurements behind the findings; None for an assessment read from a file.
    """

    findings: tuple[Finding, ...]
    errors: Mapping[Use, ExpectedError | None] = field(
        default_factory=lambda: {"overlay": None, "position": None}
    )
    risk: float | None = None
    tested: TestedPoints = field(default_factory=TestedPoints.empty, repr=False)
    cause: Cause | None = None
    evidence: Evidence | None = field(default=None, repr=False)

    @property
    def verdict(self) -> Verdict:
        """Verdict on the 3D position."""
        return self.verdict_for("position")

    def verdict_for(self, use: Use) -> Verdict:
        """Return the verdict for one use: that of its most severe finding."""
        limits = [finding.severity for finding in self.findings if use in finding.uses]
        return VERDICTS[max(limits, default=NOTE)]

    @property
    def uses(self) -> dict[Use, UseAssessment]:
        """Verdict and expected error of each use that applies.

        An expected error holds for a correct pose. It is withheld from a pose that is not accepted
        for another reason than its size.
        """
        found = {}
        for use, error in self.errors.items():
            verdict = self.verdict_for(use)
            is_small = bool(error and error.upper95_mm and error.upper95_mm <= WRONG_MM)
            shown = error if verdict == "accept" or not is_small else None
            found[use] = UseAssessment(verdict, *(shown or ()))
        return found

    def has(self, *codes: str) -> bool:
        """Return whether a finding has one of these codes."""
        return any(finding.code in codes for finding in self.findings)

    @property
    def is_likely_wrong(self) -> bool:
        """Whether the pose is rejected, or the risk model expects an error above WRONG_MM."""
        return self.verdict in UNUSABLE or self.has("most-likely-wrong")

    @property
    def bound_is_known(self) -> bool:
        """Whether the 95 % bound of the 3D position's error is known."""
        error = self.errors.get("position")
        return error is not None and error.upper95_mm is not None

    def view_states(self, views: Sequence[str]) -> dict[str, str]:
        """Return "good", "check" or "bad" for each of the views, by name: whether it supports the pose, is in doubt, or is at fault."""
        if self.verdict == "accept":
            return dict.fromkeys(views, "good")
        limiting = [finding for finding in self.findings if finding.severity > NOTE]
        failures = [finding for finding in limiting if finding.severity == FAILURE]
        named = {view for finding in limiting for view in finding.views}
        if self.is_likely_wrong:
            named = {view for finding in failures for view in finding.views} or set(views)
        if self.cause and self.cause.views:
            named = set(self.cause.views)
        state = "bad" if self.is_likely_wrong else "check"
        return {view: state if view in named else "good" for view in views}

    @property
    def bones_are_displaced(self) -> bool:
        """Whether bones are displaced from the pose of the whole CT, so that each bone's pose is the answer."""
        return self.has("bone-displaced")

    def with_findings(self, findings: Iterable[Finding], *, first: bool = True) -> Assessment:
        """Return the assessment with further findings, before or after the present ones."""
        new = [finding for finding in findings if finding not in self.findings]
        both = (*new, *self.findings) if first else (*self.findings, *new)
        return replace(self, findings=both) if new else self

    def without(self, *codes: str) -> Assessment:
        """Return the assessment without the findings of these codes."""
        return replace(self, findings=tuple(f for f in self.findings if f.code not in codes))


#: Assessment of a body that was not assessed by itself.
UNASSESSED = Assessment((Finding("not-assessed"),))


def least_reliable(verdicts: Iterable[Verdict | None]) -> Verdict | None:
    """Return the worst of several verdicts."""
    return max(verdicts, key=RELIABILITY.index)


class Assessed:
    """Base of records with an `assessment`."""

    if TYPE_CHECKING:

        @property
        def assessment(self) -> Assessment | None:
            """Assessment of the pose; None without one."""

    @property
    def verdict(self) -> Verdict | None:
        """Verdict on the 3D position; None without an assessment."""
        return self.assessment.verdict if self.assessment else None

    @property
    def uses(self) -> dict[Use, UseAssessment]:
        """Verdict and expected error of each use."""
        return self.assessment.uses if self.assessment else {}

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Findings on the pose."""
        return self.assessment.findings if self.assessment else ()
