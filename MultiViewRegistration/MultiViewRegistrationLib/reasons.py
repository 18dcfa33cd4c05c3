"""Reasons for a verdict: sentences for people, each with a code that programs may rely on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, repeat
from typing import Any, Literal, TypeVar, get_args

T = TypeVar("T")

#: What is said of a pose.
Verdict = Literal["accept", "check", "reject"]
#: What is said of a bone's pose: "not shown" where no X-ray can tell.
BoneVerdict = Literal["accept", "check", "reject", "not shown"]
#: What a pose is for: where a bone appears in its X-rays, how bones lie to each other, where a bone
#: lies in the room.
Use = Literal["overlay", "relative", "room"]
#: The verdicts, the least doubtful first; None where nobody gave one.
DOUBT = ("accept", "check", None, "not shown", "reject")
#: Poses with these are not to be used.
UNUSABLE = ("reject", "not shown")


class Reason(str):
    """A sentence with its code.

    Attributes
    ----------
    code
        One of those in result.schema.json. "" of a sentence that a file had without one.
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


def bones_apart(reasons: Sequence[str]) -> bool:
    """Return whether bones lie elsewhere than the CT in one piece has them: the answer is that of each bone then."""
    return "bone-displaced" in map(code_of, reasons)


def each_accepted(reasons: Sequence[str], bones: Iterable[str | None]) -> bool:
    """Return whether every bone, by its verdict, is accepted at its own pose, apart from where the CT in one piece has it."""
    return bones_apart(reasons) and set(bones) == {"accept"}


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


#: Fields of what was judged: its only verdict, or that of each use.
VERDICTS = {"verdict", *get_args(Use)}


def doubted(judged: T, reasons: Sequence[Reason]) -> T:
    """Return what was judged, any record or JSON with VERDICTS and `reasons`, at best "check" for these reasons.

    Those that it has not come first; without any it stays as it is.
    """
    if not reasons:
        return judged
    record: Any = judged
    told: Any = record if isinstance(record, dict) else vars(record)
    missing = [reason for reason in reasons if reason not in told["reasons"]]
    doubt = _at_best_check(told)
    doubt["reasons"] = [*missing, *told["reasons"]]
    kept = told.get("uses", {}).items()
    uses = {use: each | _at_best_check(each) for use, each in kept if isinstance(each, dict)}
    if uses:
        doubt["uses"] = uses
    return told | doubt if told is record else replace(record, **doubt)


def _at_best_check(told: Mapping[str, Any]) -> dict[str, Any]:
    return {of: "check" for of in VERDICTS & told.keys() if told[of] == "accept"}
