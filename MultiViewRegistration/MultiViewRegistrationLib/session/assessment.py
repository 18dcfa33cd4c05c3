"""Assess the pose as it is, and mask what does not fit at an assessed pose: tools, casts, bones that moved."""

from __future__ import annotations

from ..errors import InputError
from ..mrml.case import SUGGESTED
from ..mrml.fingerprint import fingerprint
from ..mrml.image import add_mask
from .history import Entry
from .session import Session
from .verdict import in_words

#: Said where the pose was dragged or typed since, or never assessed.
MOVED_SINCE = "The CT was moved since the pose was assessed; assess it anew."


def assess(session: Session) -> None:
    """Begin to assess the pose as it is, without a registration; it becomes an entry of the history with its verdict.

    Of a registration the verdict is there; where its likely cause was not looked for to the end, that is done now.

    InputError as `Session.find_result`, and while other work is under way.
    """
    registration, finding = session.registration, session.find_result(anew=bool(outdated_reason(session)))
    pose, inputs = registration.world_from_ct, fingerprint(registration)

    known = session.result

    def find():
        from ..api import diagnose_misfit

        return diagnose_misfit(finding())

    def keep(result) -> None:
        if (
            known is not None and known.refinement is result.refinement
        ):  # of a registration, whose entry has its verdict already
            if session.result is known:
                seconds = session.history.current.seconds + result.seconds["total"] - known.seconds["total"]
                session.remember(session.history.amend(reasons=list(result.reasons), seconds=seconds), result)
            return
        session.history.note(session.history.unnoted if session.history.entries else "by hand")
        cameras = session.history.current.cameras
        similarity = {
            view.name: float(value) for view, value in zip(result.views, result.refinement.fit.similarity, strict=True)
        }
        entry = Entry.now(
            session.history.current.method,
            pose,
            cameras=cameras,
            similarity=similarity,
            reasons=list(result.reasons),
            seconds=result.seconds["total"],
            verdict=result.verdict,
            upper95_mm=(result.predicted_tre_mm or {}).get("upper95"),
            assessed=inputs,
        )
        session.history.add(entry)
        session.remember(entry, result)

    session.run(find, keep)


def outdated_reason(session: Session) -> str:
    """Why the current entry's verdict does not hold for the pose as it is, a sentence; "" where it does, or there is none."""
    entry = session.history.current
    if entry is None or not entry.assessed:
        return session.stale_reason()
    if session.history.moved:
        return MOVED_SINCE
    return (
        ""
        if entry.assessed == fingerprint(session.registration)
        else ("The assessment is stale: the CT, an X-ray or its geometry has changed since; assess the pose anew.")
    )


def verdict(session: Session) -> str:
    """ "accept", "check" or "reject", as it holds for the pose as it is; "" where none does."""
    entry = session.history.current
    return entry.verdict if entry is not None and entry.verdict and not outdated_reason(session) else ""


def describe(session: Session) -> list[str]:
    """The verdict in words, and what speaks against the pose, a sentence each."""
    entry, why = session.history.current, outdated_reason(session)
    lines = [in_words(entry, why)]
    if entry is None or not (entry.fingerprint or entry.assessed):
        return lines
    return [*lines, why, *entry.reasons] if why else [*lines, *entry.reasons]


def use_suggested_masks(session: Session) -> str:
    """Give each X-ray in which something does not fit a mask without that; returns a sentence on what was left out.

    The masks go with the X-rays, and can be edited; one that an X-ray had is still there to choose. A registration with them is at best to
    be checked: at a wrong pose it is the CT that does not fit. InputError where the pose as it is was not assessed, was rejected, or
    where everything fits.
    """
    why, result = outdated_reason(session), session.result
    if why or result is None or result.assessment is None:
        raise InputError(
            f"Mask: {_lower(why or 'This pose was not assessed.')}, expected a pose that was; register, or assess this pose."
        )
    if result.verdict == "reject":
        raise InputError(
            "Mask: this pose was rejected, expected one that is nearly right: of a wrong one it is the CT that does not fit."
        )
    masks = result.suggested_masks()
    if not masks:
        raise InputError(
            "Mask: nothing differs by more than noise explains, expected a tool or something that moved; draw a mask where "
            "you see one."
        )
    valid, told = {view.name: view.xray.valid for view in result.views}, []
    for view in [view for view in session.registration.xrays if view.name in masks]:
        add_mask(view, f"{view.name} without what does not fit", masks[view.name])
        view.mask.SetAttribute(SUGGESTED, "1")
        told.append(f"{100 * (1 - masks[view.name].sum() / valid[view.name].sum()):.0f} % of {view.name}")
    return f"Left out: {', '.join(told)}. Look at the masks, then register again."


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:].rstrip(".")
