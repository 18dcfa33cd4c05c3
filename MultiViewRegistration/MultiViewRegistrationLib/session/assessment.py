"""What can be said of a pose.

Its verdict, a mask without what does not fit, its similarity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..assessment.metrics import in_mm
from ..errors import InputError, bones_apart, code_of
from ..io.dicom_identity import DAY, REASON_CODES
from ..mrml.case import SUGGESTED
from ..mrml.fingerprints import fingerprint
from ..mrml.image import add_mask
from ..mrml.xray import ATTRIBUTE
from ..translation import _
from .history import HistoryEntry
from .tasks import BackgroundValue, within_sentence
from .verdicts import any_usable

if TYPE_CHECKING:
    from ..report.result import Result
    from .session import Session


#: What a verdict means, in a sentence.
MEANINGS = {
    "accept": _(
        "The pose agrees with everything that was checked; how often that is wrong was measured on "
        "simulated X-rays alone."
    ),
    "check": _("Look at the overlays of every X-ray before the pose is used."),
    "reject": _("The pose must not be used."),
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
        return "" if player.stands else CHANGED_SINCE_TRACKED
    entry = session.history.current
    if entry is None or not entry.assessed:
        return stale_reason(session)
    if left := left_reason(session):
        return left
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
    if left := left_reason(session):
        return left
    entry = session.history.current
    if entry is None or not entry.fingerprint:
        return _("This pose is no result of a registration.")
    if session.history.is_displaced or entry.fingerprint != session.history.inputs:
        return _(
            "The result is stale: the CT, an X-ray or its geometry has changed since the "
            "registration."
        )
    return ""


def left_reason(session: Session) -> str:
    """As `History.left`; a registration that is under way moves the CT, too."""
    under_way = session.running_registration is not None
    return _("A registration is under way.") if under_way else session.history.left


def reason_not_to_use(session: Session) -> str:
    """Return why only an override hands the pose on, in a sentence.

    `stale_reason`, or that the result was rejected, with all of its bones.

    "" for no reason.
    """
    entry = session.history.current
    rejected = entry is not None and entry.verdict == "reject" and not any_usable(entry.bodies)
    return stale_reason(session) or (_("The result was rejected.") if rejected else "")


def verdict(session: Session) -> str:
    """Return "accept", "check" or "reject", as it holds for the pose as it is.

    "" where none does.
    """
    entry = session.history.current
    said = session.sequence.frame or (entry and entry.as_checked)
    return said.verdict if said and said.verdict and not outdated_reason(session) else ""


def each_accepted(session: Session) -> bool:
    """Return whether the answer is that of bones, as `HistoryEntry.each_accepted`."""
    return bool(verdict(session)) and (session.sequence.frame or _entry(session)).each_accepted


def _entry(session: Session) -> HistoryEntry:
    """Return the entry of the history that the CT is at, of a pose that has a verdict, or was just noted."""
    entry = session.history.current
    assert entry is not None
    return entry.as_checked


def to_look_at(session: Session) -> list[str]:
    """As of `HistoryEntry`, of the pose as it is."""
    registration = session.registration
    if session.sequence.frame is not None or not verdict(session):
        return []
    used = [view.name for view in registration.used_xrays]
    return _entry(session).to_look_at(used, registration.bone_cts)


def check_edges(session: Session, key: str, on_line: bool) -> None:
    """Store whether bone edges lie on the outline, for a view or a bone in a view, by the keys of `to_look_at`."""
    entry = session.history.current
    assert entry is not None
    checks = {**entry.edge_checks, key: on_line}
    session.history.replace_current(replace(entry, edge_checks=checks))


def checked(session: Session) -> bool:
    """Return whether the verdict is "check" and the user confirmed the edges everywhere."""
    return verdict(session) == "check" and _entry(session).confirmed(to_look_at(session))


def reasons(session: Session) -> Sequence[str]:
    """Return what a person must know before trusting the pose that has a verdict, a sentence each."""
    if session.sequence.frame is not None:
        return session.sequence.frame.reasons
    entry = _entry(session)
    return [each for each in entry.reasons if _is_caution(each)]


def _is_caution(reason: str) -> bool:
    """Return whether a reason is a caution; different study days are not: every preoperative CT has them."""
    return code_of(reason) != REASON_CODES[DAY]


def view_states(session: Session) -> dict[str, str]:
    """Return one of `history.VIEW_STATES` for each X-ray of a pose that has a verdict, by name.

    None of a frame of a sequence.
    """
    if session.sequence.frame is not None:
        return {}
    entry = _entry(session)
    right = entry.answer == "accept"
    states = dict.fromkeys(entry.views, "good") if right else entry.views
    return states | dict.fromkeys(entry.off_line, "bad")


def expected_error(entry: HistoryEntry) -> str:
    """Return the expected error of the 3D position, such as "1.2 mm"; "" if unknown, or if the pose was rejected."""
    if entry.typical_mm is None or entry.verdict == "reject":
        return ""
    return in_mm(entry.typical_mm)


def summary(session: Session) -> str:
    """Return the verdict of an assessed pose in a few words, such as "accept, expected error 1.2 mm"."""
    frame = session.sequence.frame
    each = each_accepted(session) and _("each bone: accept")
    if frame is not None:
        said = each or frame.verdict
        return _("frame {number}: {verdict}").format(number=frame.number, verdict=said)
    if each:
        return each
    entry = _entry(session)
    mm = expected_error(entry)
    return (
        _("{verdict}, expected error {mm}").format(verdict=entry.verdict, mm=mm)
        if mm
        else entry.verdict or ""
    )


def headline(session: Session) -> str:
    """Return what a person should know first of a pose with a verdict.

    The cause, where there is one, and the likely error.

    The frame it is of.
    """
    frame = session.sequence.frame
    if frame is None:
        return _headline(_entry(session))
    first = _("frame {number} was {how}").format(number=frame.number, how=frame.how)
    told = frame.reasons[0].headline if frame.each_accepted else frame.uses_in_words
    if not told and frame.upper95_mm is not None:
        bound = _("error below {mm:.2f} mm in 95 of 100 such results")
        told = bound.format(mm=frame.upper95_mm)
    return " \u00b7 ".join(filter(None, [first, told.rstrip(".")]))


def _headline(entry: HistoryEntry) -> str:
    from ..assessment.prediction import WRONG_MM, percent
    from ..assessment.verdict_reasons import is_about_risk

    mm = expected_error(entry)
    expected = _("expected error {mm}").format(mm=mm) if mm else ""
    if entry.verdict == "accept":
        as_rigid = _("as a rigid body") if expected and not entry.bodies else ""
        return " \u00b7 ".join(filter(None, [expected, as_rigid])) or _("expected error unknown")
    first = next(filter(_is_caution, entry.reasons), "")
    if first and not is_about_risk(first):
        cause = getattr(first, "headline", first)
        known = "" if bones_apart([first]) else expected  # of each bone, not of the CT
        return " \u00b7 ".join(filter(None, [cause, known]))
    if entry.risk is None:
        return expected or _("expected error unknown")
    risk = _("{risk} risk of more than {mm:g} mm").format(risk=percent(entry.risk), mm=WRONG_MM)
    return ", ".join(filter(None, [risk, expected]))


def explanation(session: Session) -> list[str]:
    """Return what stands behind the headline of the pose as it is, a sentence each, the cause first.

    Empty where there is nothing to say.
    """
    frame = session.sequence.frame
    entry = session.history.current and session.history.current.as_checked
    outdated = outdated_reason(session)
    if frame is not None:
        meaning = MEANINGS[frame.answer]
        end = [] if outdated else [frame.uses_in_words, frame.scope, meaning]
        return list(filter(None, [outdated, *frame.reasons, *end]))
    if entry is None or not entry.inputs:
        return []
    if outdated or entry.verdict is None:
        return list(filter(None, [outdated, *entry.reasons]))
    behind = [*entry.reasons, entry.summary]
    if entry.verdict == "accept":
        behind = [entry.summary, *entry.reasons]
    meaning = EDGES_FIT if checked(session) else MEANINGS[entry.answer]
    return list(filter(None, [*behind, meaning, *_of_bodies(entry)]))


def _of_bodies(entry: HistoryEntry) -> list[str]:
    """Describe each bone that was registered, and how it moved against its neighbour, a sentence each."""
    of_each = [set(each.reasons) for each in entry.bodies.values()]
    of_all = set.intersection(*of_each) if len(of_each) > 1 else set()
    sentences = []
    for name, each in entry.bodies.items():
        mm = each.error_mm
        likely = "" if mm is None else _(", expected error {mm}").format(mm=in_mm(mm))
        motion = ""
        if each.moved:  # not of a bone with a CT of its own
            against = _(
                ", moved by {mm:.1f} mm and {deg:.1f}\u00b0 against the pose of the whole CT"
            )
            motion = against.format(mm=each.moved["mm"], deg=each.moved["deg"])
            likely += _(" if the cameras are right") if likely else ""
        told = _("{name}: {verdict}{motion}{likely}.").format(
            name=name,
            verdict=entry.verdict_of(name),
            motion=motion,
            likely=likely,
        )
        sentences.append(
            " ".join([told, *(reason for reason in each.reasons if reason not in of_all)])
        )
    moved = _("{name} on {against}: {words}, {mm:.1f} mm at the joint.")
    return [*sentences, *sorted(of_all), *(moved.format(**motion) for motion in entry.motions)]


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
    if result.verdict == "reject" or result.assessment.likely_wrong:
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
