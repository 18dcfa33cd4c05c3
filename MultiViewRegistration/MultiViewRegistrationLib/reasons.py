"""Reasons for a verdict: sentences for people, each with a code that programs may rely on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain, repeat
from typing import Any, Literal, TypeVar

T = TypeVar("T")

#: What is said of a pose.
Verdict = Literal["accept", "check", "reject"]
#: What is said of a bone's pose: "not shown" where no X-ray can tell.
BoneVerdict = Literal["accept", "check", "reject", "not shown"]
#: Poses with these are not to be used.
UNUSABLE = ("reject", "not shown")

#: What each code says. A code keeps its meaning, while its sentence may be reworded; codes are
#: added. Those of `cause.CAUSES` follow, with "cause-" before them.
CODES = {
    "ambiguous": "another pose fits nearly as well",
    "assumed": "what a header or the case leaves open, and what was taken",
    "bone-displaced": "a bone lies elsewhere than the pose of the whole CT has it",
    "bone-lost": "a bone was not found",
    "bone-rejected": "a bone with a CT of its own is rejected",
    "bones-not-registered": "the bones of the case were not registered",
    "bones-tested": "the scope of an accept: as one piece, and some of its bones by themselves",
    "bones-overlap": "two bones lie within each other",
    "camera-contradicted": "the X-rays contradict what is said of a camera",
    "cameras-uncertain": "the cameras' uncertainty alone may misplace the bone",
    "ct-slices-aside": "slices of the CT lie aside of those below and above",
    "different-sides": "CT and X-rays are of different sides of the body, by their headers",
    "error-bound": "the error may be above the limit",
    "few-grey-levels": "an X-ray has too few grey levels",
    "followed": "a frame was followed without an assessment of its own",
    "further-view": "a further X-ray that would lower the error most",
    "geometry-from-truth": "the cameras come from the true poses",
    "geometry-unknown": "the camera of an X-ray is unknown",
    "halves-disagree": "halves of the images disagree",
    "image-cropped": "an image may be cropped or resampled since its camera was calibrated",
    "lost": "a frame, or a bone in it, fits worse than those before",
    "mask-of-two-bones": "the ends of a mask fit best at different places",
    "mask-too-large": "much of a mask is no bone",
    "mask-too-small": "bone goes on outside a mask",
    "mirror-alike": "the X-rays fit the mirror image of the CT about as well",
    "misfit-left-out": "what did not fit at an earlier pose was left out",
    "most-displaced": "most of the bone lies elsewhere than the pose has it",
    "most-likely-wrong": "the risk is so high that the pose is rejected",
    "name-contradicted": "the name of a bone does not fit where it lies in the CT, or its file",
    "no-bone": "the CT shows no bone",
    "no-shared-bone": "no bone lies in the fields of all X-rays",
    "no-surroundings": "a structure was compared without the rest of its CT",
    "noise": "the images determine the pose poorly",
    "not-found-again": "begun a little off, the bone ends elsewhere",
    "not-like-ct": "an X-ray hardly resembles the CT, or a bone of it",
    "not-refined": "the pose was not refined",
    "not-shown": "no X-ray shows enough of the CT, or of a bone",
    "one-piece": "the scope of an accept: as one piece, single bones and pieces were not tested",
    "one-structure": "one structure was registered by itself, by its mask or its own CT",
    "one-view": "one X-ray alone determines the pose",
    "other-day": "CT and X-rays are of different days, by their headers",
    "other-frame": "a segmentation is of another frame of reference than the CT, by their headers",
    "other-level": "the bone one level up or down fits about as well",
    "outliers": "X-ray and CT differ by more than noise in much of the area",
    "part-displaced": "a part of the bone lies elsewhere than the pose has it",
    "part-hidden": "a part of the bone does not match the X-rays, and something may hide it",
    "partly-shown": "the X-rays show only a part of a bone",
    "patient-confirmed": "a person said that all is of one patient, whatever the headers say",
    "patient-mismatch": "CT and X-rays are of different patients, by their headers",
    "pose-of-one-bone": "the pose is of the first of several bones with a CT each",
    "pose-set": "the pose was set, not registered",
    "principal-point-unstated": "it is not stated how well a principal point is known",
    "range-too-small": "the pose lies at the rim of what was searched",
    "rest-displaced": "how far a structure lies from its place in the rest of the CT",
    "rest-lost": "the rest of the CT was not found in a frame",
    "risk": "the risk is too high for an accept",
    "same-direction": "the X-rays look in nearly the same direction",
    "shared-unknown": "all X-rays share an unknown of their cameras",
    "surroundings-unknown": "the X-rays disagree, maybe by what a structure was not compared with",
    "targets-not-shown": "no X-ray shows some of the targets",
    "targets-not-tested": "no bone was compared near some of the targets",
    "too-little-shown": "an X-ray shows too little of the CT",
    "third-view-missing": "two X-rays of a kind on which no risk was measured are not enough",
    "together-elsewhere": "a bone ends elsewhere than it does alone",
    "unfamiliar-images": "the risk was not measured on X-rays of this kind",
    "unlike-known": "the result looks unlike every correct result known",
    "unusual-motion": "a bone has moved against a neighbour by more than is usual",
    "view-disagrees": "one X-ray disagrees with the others",
    "view-not-used": "an X-ray was not used, as the CT covers too little of it",
    "views-disagree": "the X-rays disagree by more than the cameras' uncertainty explains",
    "whole-in-doubt": "cameras or X-rays are in doubt, and so is each bone",
}


class Reason(str):
    """A sentence with its code.

    Attributes
    ----------
    code
        One of `CODES`, or "cause-" and a `cause.Cause.cause` with hyphens. "" of a sentence
        that a file had without one.
    headline
        What a person should know first of it, without a full stop.
    """

    code: str
    headline: str

    def __new__(cls, code: str, sentence: str, headline: str = "") -> Reason:
        """Make a reason of a code and a sentence, in which a line end stands behind the headline."""
        first, _, rest = sentence.partition("\n")
        reason = super().__new__(cls, first + rest)
        reason.code = code
        reason.headline = headline or first.removesuffix(".")
        return reason

    # Copies, and what goes to another process, keep the code.
    def __getnewargs__(self) -> tuple[str, str, str]:  # type: ignore[override]
        return self.code, str(self), self.headline


def code_of(reason: str) -> str:
    """Return the code of a reason; "" of a sentence that has none."""
    return reason.code if isinstance(reason, Reason) else ""


#: Where a result.json has the sentences, codes and headlines of reasons.
KEYS = ("reasons", "reason_codes", "reason_headlines")


def with_codes(reasons: Sequence[str]) -> dict[str, list[str]]:
    """Return reasons as a result.json has them, by KEYS."""
    headlines = [getattr(reason, "headline", "") for reason in reasons]
    return dict(zip(KEYS, ([*map(str, reasons)], [*map(code_of, reasons)], headlines)))


def from_codes(content: Mapping[str, Any]) -> list[Reason]:
    """Return what `with_codes` has taken apart; files of before have no codes, or no headlines."""
    sentences, codes, headlines = ([*map(str, content.get(key, ()))] for key in KEYS)
    rows = zip(chain(codes, repeat("")), sentences, chain(headlines, repeat("")))
    return [Reason(*row) for row in rows]


#: Fields of what was judged: of its place in the room, and of where it appears.
VERDICTS = ("verdict", "overlay")


def doubted(judged: T, reasons: Sequence[Reason]) -> T:
    """Return what was judged, any record with `verdict` and `reasons`, at best "check" for these reasons.

    Those that it has not come first; without any it stays as it is.
    """
    if not reasons:
        return judged
    record: Any = judged
    doubt = {of: "check" for of in VERDICTS if getattr(record, of, "") == "accept"}
    missing = [reason for reason in reasons if reason not in record.reasons]
    return replace(record, reasons=[*missing, *record.reasons], **doubt)
