"""The uses of a pose: the verdict of each, which of them counts, and words for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args

from ..io.files import JsonObject
from ..known import without_none
from ..reasons import BoneVerdict, Use, code_of

#: A pose with a larger mTRE has failed.
WRONG_MM = 2.0
#: Where a bone appears farther off, at its depth, its overlay misleads.
OVERLAY_MM = 1.0
#: A motion that is known less well is not accepted.
RELATIVE_MM = 1.0
RELATIVE_DEG = 1.0
#: A larger error is accepted for no use.
MOST_MM: dict[Use, float] = {"overlay": OVERLAY_MM, "relative": RELATIVE_MM, "room": WRONG_MM}
#: In words, where each use asks for the bone.
PLACES: dict[str, str] = {
    "overlay": "in these X-rays",
    "relative": "of the bones to each other",
    "room": "in the room",
}
#: Reasons for a check in the room alone, by their codes, and what is said of them.
BECAUSE = {
    "cameras-uncertain": ", as the cameras are not known better",
    "principal-point-unstated": ", as it is not stated how well the cameras are known",
}


class Error(NamedTuple):
    """The error of targets, mm, for a use.

    As X-rays show them, in the worst of these across its beam at the targets; of bones to each other
    in the worst pair.

    Attributes
    ----------
    typical_mm, upper95_mm
        Median and 95 % bound of the root mean square over the targets.
    """

    typical_mm: float
    upper95_mm: float | None


class UseVerdict(NamedTuple):
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
        return without_none(self._asdict())

    @classmethod
    def read(cls, fields: JsonObject, verdicts: tuple[str, ...]) -> dict[Use, UseVerdict]:
        """Return `uses` of a result.json, or of a frame of a track.json; nothing of a version without them.

        Raises
        ------
        InputError
            For what are none.
        """
        uses = fields.part("uses")
        found = {}
        for use in filter(uses.has, get_args(Use)):  # a later version has more of them
            told = uses.section(use)
            mm = (told.optional(key, told.number, "mm", least=0) for key in cls._fields[1:])
            verdict: Any = told.choice("verdict", verdicts)
            found[use] = cls(verdict, *mm)
        return found


class Judged:
    """Base of what has a verdict of each use, in a field of its name: None where that does not apply.

    Attributes
    ----------
    use
        What the pose is for.
    """

    use: Use

    @property
    def errors(self) -> dict[Use, Error | None]:
        """How far off it is for each use, None where that is not known."""
        raise NotImplementedError

    @property
    def uses(self) -> dict[Use, UseVerdict]:
        """The verdict of each use that applies.

        Its error holds of a right answer: it is told where nothing but its size speaks against that.
        """
        found = {}
        for use, error in self.errors.items():
            if verdict := getattr(self, use):
                within = error and error.upper95_mm and error.upper95_mm <= MOST_MM[use]
                told = error if verdict == "accept" or not within else None
                found[use] = UseVerdict(verdict, *(told or ()))
        return found

    @property
    def judged_use(self) -> Use:
        """The use whose verdict counts: `use`, or what applies in its place, the overlay first."""
        uses: tuple[Use, ...] = (self.use, "overlay")
        return next((use for use in uses if getattr(self, use)), "room")

    @property
    def verdict(self) -> Any:
        """The verdict of that use."""
        return getattr(self, self.judged_use)


def in_words(uses: Mapping[Use, UseVerdict], use: Use, reasons: Sequence[str] = ()) -> str:
    """Return the verdicts of uses, first that which counts; "" where it is the room's, or a reject, and so are all others.

    Parameters
    ----------
    reasons
        Those of the room.
    """
    plain = use == "room" or uses[use].verdict == "reject"
    if plain and len({told.verdict for told in uses.values()}) == 1:
        return ""
    because = next((BECAUSE[code] for code in map(code_of, reasons) if code in BECAUSE), "")
    verdict, mm = _told(uses[use])
    sentences = [f"{verdict} {PLACES[use]}{mm}."]
    for other, told in uses.items():
        verdict, mm = _told(told)
        why = because if other == "room" and told.verdict == "check" else ""
        place = PLACES[other]
        sentences += [f"{place[0].upper()}{place[1:]}: {verdict}{mm}{why}."] * (other != use)
    return " ".join(sentences)


def _told(told: UseVerdict) -> tuple[str, str]:
    """Return a verdict for a reader, and its likely error, which begins with a comma."""
    mm = told.typical_mm
    if mm is None or told.verdict == "reject":
        return told.verdict.upper(), ""
    return told.verdict.upper(), f", {mm:.{2 if mm < 0.1 else 1}f} mm"
