"""What is said of the pose as it is: the verdict and its reasons, also of a pose that was set by hand and only assessed."""

from __future__ import annotations

from ..mrml.fingerprint import fingerprint
from .history import Entry
from .session import Session
from .verdict import in_words

#: Said where the pose was dragged or typed since, or never assessed.
ASSESS_ANEW = "The CT was moved since the pose was assessed; assess it anew."


def assess(session: Session) -> None:
    """Begin to assess the pose as it is, without a registration; it becomes an entry of the history with its verdict.

    Of a registration the verdict is there; where its likely cause was not looked for to the end, that is done now.

    InputError as `Session.find_result`, and while other work is under way.
    """
    registration, finding = session.registration, session.find_result(anew=bool(outdated(session)))
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


def outdated(session: Session) -> str:
    """Why the current entry's verdict does not hold for the pose as it is, a sentence; "" where it does, or there is none."""
    entry = session.history.current
    if entry is None or not entry.assessed:
        return session.doubt()
    if session.history.moved:
        return ASSESS_ANEW
    return (
        ""
        if entry.assessed == fingerprint(session.registration)
        else ("The assessment is stale: the CT, an X-ray or its geometry has changed since; assess the pose anew.")
    )


def verdict(session: Session) -> str:
    """ "accept", "check" or "reject", as it holds for the pose as it is; "" where none does."""
    entry = session.history.current
    return entry.verdict if entry is not None and entry.verdict and not outdated(session) else ""


def told(session: Session) -> list[str]:
    """The verdict in words, and what speaks against the pose, a sentence each."""
    entry, why = session.history.current, outdated(session)
    lines = [in_words(entry, why)]
    if entry is None or not (entry.fingerprint or entry.assessed):
        return lines
    return [*lines, why, *entry.reasons] if why else [*lines, *entry.reasons]
