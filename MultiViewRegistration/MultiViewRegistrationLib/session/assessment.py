"""State of the current pose: its verdict and findings, masks of mismatched regions, its similarity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..assessment.bodies import BodyResult
from ..assessment.records import NOTE, RELIABILITY, USES, Finding, Use, UseAssessment
from ..errors import InputError
from ..mrml.case import SUGGESTED
from ..mrml.fingerprints import fingerprint
from ..mrml.image import add_mask
from ..mrml.xray import ATTRIBUTE
from ..report import messages
from ..report.messages import in_mm
from ..translation import _
from .history import HistoryEntry
from .tasks import BackgroundValue, within_sentence

if TYPE_CHECKING:
    from ..report.result import Result
    from ..sequence.tracker import Tracked
    from .session import Session


#: What a verdict means, in a sentence.
MEANINGS = {
    "accept": _(
        "No finding limits a use. The rate of wrong accepts was measured on simulated X-rays only."
    ),
    "check": _("Inspect the overlays of every X-ray before the pose is used."),
    "reject": _("The pose must not be used."),
    "not shown": _("The pose must not be used."),
}
EDGES_FIT = _(
    "The edges were confirmed in every X-ray. This tests the overlay on these X-rays, and hardly "
    "the depth."
)
CHANGED_SINCE_TRACKED = _(
    "The verdict of this frame does not hold any more: the CT or the geometry of an X-ray has "
    "changed; track it again."
)


def assess(session: Session) -> None:
    """Begin to assess the pose as it is, without a registration.

    It becomes an entry of the history with its verdict.

    The verdict of a registration is there already, and stays.

    InputError as `Session.find_result`, and while other work is under way.
    """
    registration = session.registration
    again = bool(outdated_reason(session) or session.sequence.frame)
    finding = session.find_result(again=again)
    pose = registration.world_from_ct
    inputs = fingerprint(registration)

    known = session.result

    def keep(result: Result) -> None:
        if known is not None and known.refinement is result.refinement:
            return
        session.history.note_here()
        before = _entry(session)
        session.add_result(
            before.method,
            pose,
            result,
            put=False,
            cameras=before.cameras,
            assessed=inputs,
            edge_checks={} if again else before.edge_checks,
        )

    session.run(finding, keep)


def outdated_reason(session: Session) -> str:
    """Return why the verdict of the current entry, or of a sequence's frame, does not hold for the pose as it is, a sentence.

    "" where it does, or there is none.
    """
    player = session.sequence.player
    if player is not None and session.sequence.frame is not None:
        return "" if player.has_same_inputs else CHANGED_SINCE_TRACKED
    entry = session.history.current
    if entry is None or not entry.assessed:
        return stale_reason(session)
    if change := change_since_registration(session):
        return change
    if session.history.is_displaced or entry.assessed != session.history.inputs:
        return _(
            "The assessment is stale: the CT, a bone, an X-ray or its geometry has changed since; "
            "assess the pose again."
        )
    return ""


def stale_reason(session: Session) -> str:
    """Return why the pose should not be handed on as the result of a registration, in a sentence; "" for no reason."""
    if session.sequence.player is not None and session.sequence.player.at_frame:
        return _(
            "The CT lies where a frame of a sequence has it, which is no result of a "
            "registration: export it from the step Sequence."
        )
    if by_hand := session.bones.by_hand:
        return _(
            "{names}: not registered here. Register each bone by itself from there, or undo."
        ).format(names=", ".join(by_hand))
    if change := change_since_registration(session):
        return change
    entry = session.history.current
    if entry is None or not entry.fingerprint:
        return _("This pose is no result of a registration.")
    if session.history.is_displaced or entry.fingerprint != session.history.inputs:
        return _(
            "The result is stale: the CT, an X-ray or its geometry has changed since the "
            "registration."
        )
    return ""


def change_since_registration(session: Session) -> str:
    """Return `History.change_since_registration`, or, while a registration moves the CT, a message on that."""
    if session.running_registration is not None:
        return _("A registration is under way.")
    return session.history.change_since_registration


def reason_not_to_use(session: Session) -> str:
    """Return why only an override hands the pose on, in a sentence.

    `stale_reason`, or that the result was rejected, with all of its bones.

    "" for no reason.
    """
    entry = session.history.current
    has_usable = entry is not None and any(body.is_usable for body in entry.bodies.values())
    rejected = entry is not None and entry.verdict == "reject" and not has_usable
    return stale_reason(session) or (_("The result was rejected.") if rejected else "")


def verdict(session: Session) -> str:
    """Return "accept", "check" or "reject", as it holds for the pose as it is.

    "" where none does.
    """
    entry = session.history.current
    said = session.sequence.frame or (entry and entry.as_checked)
    return said.verdict if said and said.verdict and not outdated_reason(session) else ""


def each_bone_is_accepted(session: Session) -> bool:
    """Return whether each bone is accepted at its own pose, displaced from the pose of the whole CT."""
    return (
        bool(verdict(session)) and (session.sequence.frame or _entry(session)).each_bone_is_accepted
    )


def overall_verdict(session: Session) -> str:
    """Return the verdict on the poses to use for all uses: at best "check" if any use is not accepted.

    The poses to use are those of the bones if `each_bone_is_accepted`. "" without a verdict.
    """
    of_position = verdict(session)
    if of_position != "accept" and not each_bone_is_accepted(session):
        return of_position
    verdicts = {assessed.verdict for assessed in uses(session).values()}
    return "accept" if verdicts <= {"accept"} else "check"


def uses(session: Session) -> Mapping[Use, UseAssessment]:
    """Return, for each use, the verdict and the expected error of the current pose.

    If each bone is accepted at its own pose, the values are those of the bone that is least reliable
    for that use.
    """
    result = session.sequence.frame or _entry(session)
    if result.each_bone_is_accepted:
        return _worst_assessment_by_use(result.bones)
    return result.uses


def _worst_assessment_by_use(bones: Mapping[str, BodyResult | Tracked]) -> dict[Use, UseAssessment]:
    found: dict[Use, UseAssessment] = {}
    for use in USES:
        assessed = [bone.uses[use] for bone in bones.values() if use in bone.uses]
        if assessed:
            found[use] = max(assessed, key=_unreliability)
    return found


def _unreliability(assessed: UseAssessment) -> tuple[int, bool, float]:
    """Return a sort key: verdict, whether the error is unknown, typical error, the most reliable first."""
    typical_mm = assessed.typical_mm
    return RELIABILITY.index(assessed.verdict), typical_mm is None, typical_mm or 0.0


def _entry(session: Session) -> HistoryEntry:
    """Return the entry of the history that the CT is at, of a pose that has a verdict, or was just noted."""
    entry = session.history.current
    assert entry is not None
    return entry.as_checked


def edges_to_check(session: Session) -> list[str]:
    """Return the `edge_keys` that a user may check at the current pose."""
    registration = session.registration
    if session.sequence.frame is not None or not verdict(session):
        return []
    used = [view.name for view in registration.used_xrays]
    has_separate_cts = bool(registration.bone_cts)
    return _entry(session).edges_to_check(used, has_separate_cts=has_separate_cts)


def store_edge_check(session: Session, key: str, matches: bool) -> None:
    """Store the user's answer whether the bone edges match the projected outline.

    Parameters
    ----------
    key
        View, or bone within a view, as returned by `edge_keys`.
    """
    entry = session.history.current
    assert entry is not None
    checks = {**entry.edge_checks, key: matches}
    session.history.replace_current(replace(entry, edge_checks=checks))


def checked(session: Session) -> bool:
    """Return whether the verdict is "check" and the user confirmed the edges everywhere."""
    return verdict(session) == "check" and _entry(session).confirmed(edges_to_check(session))


def findings(session: Session) -> Sequence[Finding]:
    """Return the findings on the pose that has a verdict."""
    frame = session.sequence.frame
    return (_entry(session) if frame is None else frame).findings


def view_states(session: Session) -> dict[str, str]:
    """Return one of `history.VIEW_STATES` for each X-ray of a pose that has a verdict, by name.

    It is empty for a frame of a sequence.
    """
    if session.sequence.frame is not None:
        return {}
    entry = _entry(session)
    is_accepted = entry.overall_verdict == "accept"
    states = dict.fromkeys(entry.views, "good") if is_accepted else entry.views
    return states | dict.fromkeys(entry.mismatched_views, "bad")


def expected_error(entry: HistoryEntry) -> str:
    """Return the expected error of the 3D position, such as "1.2 mm"; "" if unknown, or if the pose was rejected."""
    position = entry.uses.get("position")
    if position is None or position.typical_mm is None or entry.verdict == "reject":
        return ""
    return in_mm(position.typical_mm)


def summary(session: Session) -> str:
    """Return the verdict of an assessed pose in a few words, such as "accept, expected error 1.2 mm"."""
    frame = session.sequence.frame
    stated = overall_verdict(session)
    of_bones = each_bone_is_accepted(session)
    if of_bones and stated == "accept":
        stated = _("each bone: accept")
    if frame is not None:
        return _("frame {number}: {verdict}").format(number=frame.number, verdict=stated)
    mm = "" if of_bones else expected_error(_entry(session))
    return _("{verdict}, expected error {mm}").format(verdict=stated, mm=mm) if mm else stated


def headline(session: Session) -> str:
    """Return the most important statement about a pose with a verdict, and its expected error or frame."""
    frame = session.sequence.frame
    if frame is None:
        return _headline(_entry(session))
    first = _("frame {number} was {how}").format(number=frame.number, how=frame.how)
    second = messages.describe_uses(frame.uses)
    if frame.each_bone_is_accepted:
        second = _displacement(frame)
    return " \u00b7 ".join(filter(None, [first, second.rstrip(".")]))


def _headline(entry: HistoryEntry) -> str:
    assert entry.assessment is not None
    if entry.each_bone_is_accepted:
        return _displacement(entry)
    mm = expected_error(entry)
    expected = _("expected error {mm}").format(mm=mm) if mm else ""
    limit = messages.headline(entry.assessment) or messages.headline(entry.assessment, None)
    if not limit:
        as_rigid = _("as a rigid body") if expected and not entry.bodies else ""
        known = " \u00b7 ".join(filter(None, [expected, as_rigid]))
        return known or _("expected error unknown")
    if entry.bones_are_displaced:  # the error is that of each bone
        return limit
    return " \u00b7 ".join(filter(None, [limit, expected])) or _("expected error unknown")


def _displacement(pose: HistoryEntry | Tracked) -> str:
    """Return the headline of the finding that bones are displaced, which the pose has."""
    displaced = (finding for finding in pose.findings if finding.code == "bone-displaced")
    return messages.describe(next(displaced)).headline


def explanation(session: Session) -> list[str]:
    """Return the sentences that explain the headline of the current pose, the most limiting first."""
    frame = session.sequence.frame
    entry = session.history.current and session.history.current.as_checked
    outdated = outdated_reason(session)
    if frame is not None:
        summary = [] if outdated else [messages.describe_uses(frame.uses), _meaning(session)]
        return list(filter(None, [outdated, *messages.sentences(frame.findings), *summary]))
    if entry is None or not entry.inputs:
        return []
    sentences = messages.sentences(by_severity(entry.findings))
    sentences += entry.notes
    if outdated or entry.assessment is None:
        return list(filter(None, [outdated, *sentences]))
    risk = messages.describe_risk(entry.assessment)
    meaning = EDGES_FIT if checked(session) else _meaning(session)
    return list(filter(None, [*sentences, risk, meaning, *_describe_bodies(entry)]))


def by_severity(findings: Sequence[Finding]) -> list[Finding]:
    """Return findings with those that limit a verdict first."""
    return sorted(findings, key=lambda finding: finding.severity == NOTE)


def _meaning(session: Session) -> str:
    return MEANINGS.get(overall_verdict(session), "")


def _describe_bodies(entry: HistoryEntry) -> list[str]:
    """Describe each registered bone, then the cautions common to all and the motions between neighbours."""
    cautions = {
        name: messages.cautions(body.assessment.findings) if body.assessment else []
        for name, body in entry.bodies.items()
    }
    common = []
    if len(cautions) > 1:
        first, *others = cautions.values()
        common = [finding for finding in first if all(finding in other for other in others)]
    sentences = []
    for name, body in entry.bodies.items():
        position = body.uses.get("position")
        expected = ""
        if position and position.typical_mm is not None and body.is_usable:
            expected = _(", expected error {mm}").format(mm=in_mm(position.typical_mm))
        motion = ""
        if body.moved:  # not of a bone with a separate CT
            displaced = _(
                ", displaced {mm:.1f} mm and {deg:.1f}\u00b0 from the pose of the whole CT"
            )
            motion = displaced.format(mm=body.moved.mm, deg=body.moved.degrees)
        verdict_of_bone = entry.verdict_of(name)
        sentence = _("{name}: {verdict}{motion}{expected}.").format(
            name=name, verdict=verdict_of_bone, motion=motion, expected=expected
        )
        own = [finding for finding in cautions[name] if finding not in common]
        sentences.append(" ".join([sentence, *messages.sentences(own)]))
    moved = _("Motion of {name} relative to {against}: {words}, {mm:.1f} mm at the joint.")
    motions = [moved.format(**motion) for motion in entry.motions]
    return [*sentences, *messages.sentences(common), *motions]


def use_suggested_masks(session: Session) -> str:
    """Give each X-ray in which something does not fit a mask without that, and return a sentence on what was left out.

    The masks go with the X-rays, and can be edited; one that an X-ray had is still there to choose.
    A registration with them is at best to be checked: at a wrong pose it is the CT that does not
    fit. InputError where the pose as it is was not assessed, was rejected, or where everything
    fits.
    """
    why = outdated_reason(session)
    result = session.result if session.sequence.frame is None else None
    if why or result is None or result.assessment is None:
        raise InputError(
            _("Mask: {why}, expected a pose that was assessed; register, or assess this pose."),
            why=within_sentence(why or _("This pose was not assessed.")),
        )
    if result.assessment.is_likely_wrong:
        raise InputError(
            _(
                "A mask cannot be suggested for a pose that is likely wrong. Register again from "
                "another start."
            )
        )
    masks = result.suggested_masks
    if not masks:
        raise InputError(
            _(
                "Mask: nothing differs by more than noise explains, expected a tool or something "
                "that moved; draw a mask where you see one."
            )
        )
    valid = {view.name: view.xray.valid for view in result.views}
    shares = []
    for view in session.registration.xrays:
        name = view.name
        if name in masks:
            add_mask(view, _("{name} without what does not fit").format(name=name), masks[name])
            view.mask.SetAttribute(SUGGESTED, "1")
            percent = 100 * (1 - masks[name].sum() / valid[name].sum())
            shares.append(_("{percent:.0f} % of {name}").format(percent=percent, name=name))
    return _("Left out: {shares}. Look at the masks, then register again.").format(
        shares=", ".join(shares)
    )


def where_decisive(session: Session) -> dict[str, np.ndarray]:
    """Return the pixels (2, 2) between which the edges decide at the pose as it is, by the names of X-rays that were assessed."""
    entry = session.history.current
    if entry is None or outdated_reason(session):
        return {}
    return {name: np.array(box) for name, box in entry.decisive.items()}


def follow_similarity(measured: BackgroundValue, session: Session) -> bool:
    """Follow the scene, from a timer, and return whether there are new values: the local NCC by the name of each used X-ray."""
    registration = session.registration
    # as they were corrected, too
    cameras = [view.node.GetAttribute(ATTRIBUTE) for view in registration.xrays]
    pose = registration.world_from_ct.tobytes()
    of = pose, fingerprint(registration), *cameras
    return measured.update(of, lambda: _find_similarity(session))


def _find_similarity(session: Session) -> Callable[[], dict[str, float]] | None:
    """Return what finds the similarity of each X-ray at the current pose, in any thread; None before it can."""
    anatomy = session.anatomy
    busy = session.running or session.preparing or not session.drawing.at_rest
    if anatomy is None or busy:
        return None
    case = session.corrected_case()
    pose = session.registration.world_from_ct
    result = session.result
    rest = result.refinement.world_from_background if result else None

    def find() -> dict[str, float]:
        from ..registration.register_bones import similarity_at

        similarity = similarity_at(anatomy, case.views, pose, rest)
        names = [view.name for view in case.views]
        return dict(zip(names, map(float, similarity), strict=True))

    return find
